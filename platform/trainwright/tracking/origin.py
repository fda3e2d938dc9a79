"""Where a run came from, as MLflow tags: host, user, git state, versions."""

from __future__ import annotations

import getpass
import os
import platform
import socket
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from trainwright.tracking.uri import without_user

PACKAGES = ("trainwright", "torch", "ray", "deepspeed", "mlflow")
_GIT_TIMEOUT_S = 5.0


def origin_tags(directory: Path) -> dict[str, str]:
    """Tags that say on which machine, by whom, from which code and with which versions.

    Args:
        directory: the user's working directory, whose git state is recorded if it has one.
    """
    return {
        "mlflow.user": _user(),
        "mlflow.source.type": "LOCAL",
        "trainwright.host": socket.gethostname(),
        "trainwright.version.python": platform.python_version(),
        **{f"trainwright.version.{name}": text for name, text in _versions().items()},
        **git_tags(directory),
    }


def git_tags(directory: Path) -> dict[str, str]:
    """Commit, branch, remote and cleanliness of a git checkout; empty outside of one."""
    commit = _git(directory, "rev-parse", "HEAD")
    if commit is None:
        return {}
    tags = {"mlflow.source.git.commit": commit}
    branch = _git(directory, "rev-parse", "--abbrev-ref", "HEAD")
    if branch and branch != "HEAD":
        tags["mlflow.source.git.branch"] = branch
    remote = _git(directory, "config", "--get", "remote.origin.url")
    if remote:
        tags["mlflow.source.git.repoURL"] = without_user(remote)
    changed = _git(directory, "status", "--porcelain", "--untracked-files=no")
    if changed is not None:
        tags["trainwright.git.dirty"] = "true" if changed else "false"
    return tags


def _git(directory: Path, *arguments: str) -> str | None:
    """The output of a git command; None when git or the repository is missing, or it is slow."""
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(  # noqa: S603
            ["git", "-C", str(directory), *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            env=environment,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container user without an entry in the password file
        return "unknown"
