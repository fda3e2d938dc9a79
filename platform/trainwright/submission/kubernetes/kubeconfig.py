"""How the API server is reached: by a kubeconfig as kubectl reads it, or from inside a pod."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trainwright.errors import Problem
from trainwright.secrets import STARS, is_secret_name
from trainwright.submission.target import TargetError
from trainwright.suggest import nearest, one_of

KUBECONFIG = "KUBECONFIG"
_DEFAULT = "~/.kube/config"
_IN_CLUSTER = "KUBERNETES_SERVICE_HOST"


@dataclass(frozen=True)
class Reach:
    """How the API server is reached.

    Attributes:
        client: an ``ApiClient`` of its own; nothing else in the process shares its settings.
        host: URL of the API server.
        credentials: where the user's credentials come from, in words, for when they are refused.
    """

    client: Any
    host: str
    credentials: str


def reach(context: str | None = None) -> Reach:
    """Read how the API server is reached; it is not contacted.

    Args:
        context: of the kubeconfig; None: its current one.

    Raises:
        TargetError: there is no kubeconfig, or it is wrong.
    """
    try:
        from kubernetes.client import ApiClient, Configuration
    except ModuleNotFoundError as error:
        message = "Kubernetes needs a package that is not installed"
        problem = Problem("", message, str(error.name), mend="pip install 'trainwright[submit]'")
        raise TargetError(problem) from None
    configuration = Configuration()
    # An API server that is away is told of at once, and what may be tried again is decided in Api.
    configuration.retries = False
    configuration.keep_alive = True
    files = [file for file in _places() if file.exists()]
    if files:
        credentials = _from_files(files, context, configuration)
    elif _IN_CLUSTER in os.environ and context is None:
        credentials = _from_inside(configuration)
    else:
        raise TargetError(_none())
    return Reach(ApiClient(configuration), str(configuration.host), credentials)


def _places() -> list[Path]:
    named = os.environ.get(KUBECONFIG, "")
    texts = [text for text in named.split(os.pathsep) if text] or [_DEFAULT]
    return [Path(text).expanduser() for text in texts]


def _none() -> Problem:
    places = one_of(map(str, _places()))
    return Problem(
        "",
        f"there is no kubeconfig at {places}",
        mend=f"get one from whoever runs the cluster, or point ${KUBECONFIG} at it",
    )


def _from_inside(configuration: Any) -> str:
    from kubernetes.config import ConfigException
    from kubernetes.config.incluster_config import load_incluster_config

    try:
        load_incluster_config(configuration)
    except (ConfigException, OSError) as error:
        mend = f"mount the token of the pod's service account, or point ${KUBECONFIG} at a file"
        problem = Problem("", f"this pod has no access to its cluster: {error}", mend=mend)
        raise TargetError(problem) from error
    return "the service account of this pod"


def _from_files(files: list[Path], context: str | None, configuration: Any) -> str:
    from kubernetes.config import ConfigException, load_kube_config

    contents = [_read(file) for file in files]
    where = one_of(map(str, files))
    user = _check_context(contents, context, where)
    paths = os.pathsep.join(map(str, files))
    with _exec_errors() as errors:
        try:
            load_kube_config(paths, context, configuration, persist_config=False)
        except (ConfigException, OSError, ValueError, TypeError, KeyError) as error:
            raise TargetError(Problem("", f"{where}: {_line(error)}")) from error
    if not str(configuration.host).startswith("http"):
        message = f"the cluster of that context has no server in {where}"
        raise TargetError(Problem("", message, mend="get a new one from whoever runs the cluster"))
    if errors:
        command = _exec_of(user)
        message = f"the kubeconfig's command `{command}` gives no credentials: {errors[0]}"
        mend = f"run `{command}` by hand; it may ask you to log in again"
        raise TargetError(Problem("", message, mend=mend))
    if command := _exec_of(user):
        return f"the command `{command}`"
    return f"the user {user.get('name')} in {where}"


def _read(file: Path) -> dict[str, Any]:
    mend = "`kubectl config view` must be able to read it"
    try:
        content = yaml.safe_load(file.read_text())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        what = getattr(error, "problem", None) or "cannot be read"
        raise TargetError(Problem("", f"{file}{line} is no YAML: {what}", mend=mend)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise TargetError(Problem("", f"{file} cannot be read: {_line(error)}")) from error
    if not isinstance(content, dict):
        raise TargetError(Problem("", f"{file} is no kubeconfig", mend=mend))
    return content


def _check_context(
    contents: list[dict[str, Any]], context: str | None, where: str
) -> dict[str, Any]:
    """The user of the context.

    Raises:
        TargetError: there is no such context.
    """
    contexts = _named(contents, "contexts")
    current = [c["current-context"] for c in contents if c.get("current-context")]
    named = context or (current[0] if current else None)
    if named is None:
        mend = "--context NAME, or `kubectl config use-context NAME`"
        what = f"{where} has no current context"
        raise TargetError(Problem("", what, allowed=one_of(contexts) or None, mend=mend))
    if named not in contexts:
        problem = Problem(
            "--context" if context else "",
            f"there is no such context in {where}",
            named,
            allowed=one_of(contexts) or "none: it has no contexts",
            nearest=nearest(named, contexts),
        )
        raise TargetError(problem)
    inner = contexts[named].get("context")
    user = inner.get("user") if isinstance(inner, dict) else None
    return _named(contents, "users").get(str(user), {})


def _named(contents: list[dict[str, Any]], section: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for content in contents:
        entries = content.get(section)
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, dict) and "name" in entry:
                found.setdefault(str(entry["name"]), entry)
    return found


def _exec_of(user: dict[str, Any]) -> str:
    """The command that makes the user's credentials; empty if none does."""
    inner = user.get("user")
    command = inner.get("exec") if isinstance(inner, dict) else None
    if not isinstance(command, dict):
        return ""
    shown, hides = [str(command.get("command"))], False
    for argument in map(str, command.get("args") or []):
        name, equals, _ = argument.partition("=")
        is_secret = name.startswith("-") and is_secret_name(name)
        shown.append(STARS if hides else f"{name}={STARS}" if is_secret and equals else argument)
        hides = is_secret and not equals
    return " ".join(shown)


@contextlib.contextmanager
def _exec_errors() -> Iterator[list[str]]:
    """What goes wrong with such a command: the client only logs it, and goes on without."""
    found: list[str] = []

    class Ears(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(_line(record.getMessage()))

    ears, root = Ears(logging.ERROR), logging.getLogger()
    others, root.handlers = root.handlers, [ears]
    try:
        yield found
    finally:
        root.handlers = others


def _line(error: object) -> str:
    return " ".join(str(error).split())
