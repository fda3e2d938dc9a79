"""MLflow tracking URIs: the default, which ones work, and keeping passwords out of files."""

from __future__ import annotations

import hashlib
import re
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from trainwright.errors import Problem
from trainwright.secrets import mask
from trainwright.storage import Folder
from trainwright.suggest import nearest

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_SERVERS = ("http", "https", "databricks")
_PLUGINS = "mlflow.tracking_store"
_FORMS = "sqlite:///path/mlflow.db, http(s)://host:port, postgresql://..., mysql://..., databricks"


def default_uri(storage: Folder) -> str:
    """``mlflow.db`` in a local storage folder; in the working directory for remote storage."""
    base = storage.local_path() if storage.is_local else Path.cwd()
    return f"sqlite:///{base.absolute() / 'mlflow.db'}"


def absolute_uri(uri: str) -> str:
    """The URI with a relative SQLite path made absolute against the working directory."""
    path = sqlite_path(uri)
    return uri if path is None else f"sqlite:///{path.absolute()}"


def sqlite_path(uri: str) -> Path | None:
    """The database file of a SQLite URI; None for every other URI."""
    match = re.match(r"^sqlite(?:\+\w+)?:///(.+)$", uri)
    return Path(match.group(1)) if match else None


def check_uri(uri: str) -> list[Problem]:
    """What is wrong with a tracking URI; empty when MLflow can use it. Contacts nothing."""
    scheme = uri.split(":", 1)[0] if ":" in uri else ""
    kind = scheme.split("+", 1)[0].lower()
    if kind == "file" or (not scheme and uri != "databricks") or len(kind) == 1:
        return [
            Problem(
                "tracking.uri",
                "MLflow 3 keeps its file store in maintenance mode and refuses to open it",
                got=mask(uri),
                allowed=_FORMS,
                mend=f"write sqlite:///{_folder_of(uri)}/mlflow.db",
            )
        ]
    if uri == "databricks" or kind in _SERVERS:
        return _check_server(uri, kind)
    if kind == "sqlite" and sqlite_path(uri) is None:
        return [
            Problem(
                "tracking.uri",
                "a SQLite URI needs three slashes and a file",
                got=mask(uri),
                allowed="sqlite:///relative/mlflow.db or sqlite:////absolute/mlflow.db",
            )
        ]
    if kind in _DATABASES or kind in {plugin.name for plugin in entry_points(group=_PLUGINS)}:
        return []
    return [
        Problem(
            "tracking.uri",
            "MLflow has no store for this scheme",
            got=mask(uri),
            allowed=_FORMS,
            nearest=nearest(kind, [*_DATABASES, *_SERVERS]),
        )
    ]


def fingerprint(uri: str) -> str:
    """A short digest that tells URIs apart without showing them."""
    return hashlib.sha256(uri.encode()).hexdigest()[:16]


def without_user(url: str) -> str:
    """A URL without user and password; other text as it is."""
    parts = urlsplit(url)
    if not parts.scheme or "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rsplit("@", 1)[1]))


def _check_server(uri: str, kind: str) -> list[Problem]:
    if kind in ("http", "https") and not urlsplit(uri).hostname:
        return [Problem("tracking.uri", "the URL names no host", got=mask(uri), allowed=_FORMS)]
    return []


def _folder_of(uri: str) -> str:
    path = re.sub(r"^file:(//)?", "", uri)
    return str(Path(path or ".").absolute().parent)
