"""The target that a user names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trainwright.errors import InputError, Problem
from trainwright.submission.target import Target
from trainwright.suggest import nearest

KUBERNETES = "k8s"

_URL = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")
_HOST = re.compile(r"[\w.-]+:\d+(/\S*)?")
_WORDS = ("k8s", "k3s", "kubernetes", "kube", "kuberay", "kubectl")
_ALLOWED = "k8s, or the address of a cluster's dashboard: http://HOST:8265"


@dataclass(frozen=True)
class Address:
    """How a user names a target.

    Attributes:
        to: ``k8s``, or the URL of a Ray dashboard.
        profile: name or file of a profile; for ``k8s`` alone, as those that follow.
        changes: values to change in the profile, ``a.b=value`` each.
        namespace: instead of the profile's.
        context: instead of the profile's.
        ca_file: certificates that sign the server's; for ``https`` alone.
    """

    to: str
    profile: str | None = None
    changes: tuple[str, ...] = ()
    namespace: str | None = None
    context: str | None = None
    ca_file: Path | None = None

    def open(self) -> Target:
        """The target; it is not contacted yet.

        Raises:
            InputError: there is no such kind of target, no such profile, or an option means
                nothing for it.
        """
        if self.to == KUBERNETES:
            _refuse({"--ca-file": self.ca_file}, f"--to {KUBERNETES}", "the kubeconfig says it")
            return self._kubernetes()
        if not _URL.fullmatch(self.to):
            raise InputError(_no_target(self.to))
        only = {
            "--profile": self.profile,
            "--set-profile": self.changes or None,
            "--namespace": self.namespace,
            "--context": self.context,
        }
        _refuse(only, "a Ray cluster's own address", f"it goes with --to {KUBERNETES}")
        from trainwright.submission.ray_jobs.target import RayTarget

        return RayTarget(self.to.rstrip("/"), self.ca_file)

    def _kubernetes(self) -> Target:
        from trainwright.submission.kubernetes.target import KubernetesTarget
        from trainwright.submission.profile import find_profile

        own = {"namespace": self.namespace, "context": self.context}
        given = {name: value for name, value in own.items() if value is not None}
        for name in own:
            if any(re.match(rf"\s*{name}\s*=", change) for change in self.changes):
                mend = f"--{name} NAME, which the other commands have as well"
                raise InputError(Problem("--set-profile", f"{name} is set otherwise", mend=mend))
        changes = [*self.changes, *(f"{name}={json.dumps(v)}" for name, v in given.items())]
        options = ["--to", KUBERNETES]
        named = {} if self.profile is None else {"profile": self.profile}
        for name, value in {**named, **given}.items():
            options += [f"--{name}", value]
        return KubernetesTarget(find_profile(self.profile, changes), tuple(options))


def _no_target(to: str) -> Problem:
    """What is wrong with a text that names no target."""
    if "@" in to and "://" in to:
        message = "an address holds no user and no password"
        mend = "a cluster's token is read from RAY_AUTH_TOKEN or ~/.ray/auth_token"
        return Problem("--to", message, to, "http://HOST:8265", mend=mend)
    return Problem("--to", "is no target", to, _ALLOWED, _nearest(to))


def _nearest(to: str) -> str | None:
    scheme, separator, rest = to.partition("://")
    if separator and rest:
        closest = nearest(scheme, ("http", "https"))
        return f"{closest or 'http'}://{re.split('[?#]', rest)[0]}"
    if nearest(to, _WORDS) is not None:
        return KUBERNETES
    return f"http://{to}" if _HOST.fullmatch(to) else None


def _refuse(given: Mapping[str, object], what: str, mend: str) -> None:
    problems = [
        Problem(option, f"means nothing with {what}", _written(value), mend=mend)
        for option, value in given.items()
        if value is not None
    ]
    if problems:
        raise InputError(problems)


def _written(value: object) -> str:
    return " ".join(value) if isinstance(value, tuple) else str(value)
