"""The target that a user names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trainwright.errors import InputError, Problem
from trainwright.submission.target import Target
from trainwright.suggest import nearest

KUBERNETES = "k8s"
_URL = re.compile(r"https?://[^\s/]+(/\S*)?")
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
            self._refuse({"--ca-file": self.ca_file}, f"--to {KUBERNETES}", "the kubeconfig")
            return self._kubernetes()
        if not _URL.fullmatch(self.to):
            options = [KUBERNETES, "http://", "https://"]
            close = nearest(self.to, ["k8s", "kubernetes", "k3s"]) and KUBERNETES
            message = "is no target"
            raise InputError(
                Problem("--to", message, self.to, _ALLOWED, close or nearest(self.to, options))
            )
        only = {
            "--profile": self.profile,
            "--set-profile": self.changes or None,
            "--namespace": self.namespace,
            "--context": self.context,
        }
        self._refuse(only, "a Ray cluster's own address", None)
        from trainwright.submission.ray_jobs.target import RayTarget

        return RayTarget(self.to.rstrip("/"), self.ca_file)

    def _kubernetes(self) -> Target:
        from trainwright.submission.kubernetes.target import KubernetesTarget
        from trainwright.submission.profile import find_profile

        changes = list(self.changes)
        changes += [f"namespace={self.namespace}"] if self.namespace is not None else []
        changes += [f"context={self.context}"] if self.context is not None else []
        options = ["--to", KUBERNETES]
        for option, value in (
            ("--profile", self.profile),
            ("--namespace", self.namespace),
            ("--context", self.context),
        ):
            options += [option, value] if value is not None else []
        return KubernetesTarget(find_profile(self.profile, changes), tuple(options))

    def _refuse(self, given: Mapping[str, object], what: str, instead: str | None) -> None:
        mend = f"{instead} says it" if instead else None
        problems = [
            Problem(option, f"means nothing with {what}", str(value), mend=mend)
            for option, value in given.items()
            if value is not None
        ]
        if problems:
            raise InputError(problems)
