"""Targets on Kubernetes that do not wait."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kube.server import KubeServer

from trainwright.errors import Problem
from trainwright.submission.kubernetes.podlog import Pace
from trainwright.submission.kubernetes.target import KubernetesTarget
from trainwright.submission.profile import Profile
from trainwright.submission.target import TargetError

Config = dict[str, Any]

QUICK = Pace(look_s=0.02, calm_s=0.05, retry_s=0.01, silence_s=5, drain_s=60, lost_s=0.3)


def target_of(**changes: object) -> KubernetesTarget:
    """A target in the namespace ``default``, with changes of its profile."""
    values = {"image": "trainwright:1", "namespace": "default", **changes}
    profile = Profile.model_validate(values)
    return KubernetesTarget(profile, ("--to", "k8s"), pace=QUICK, sleep=lambda seconds: None)


def refused(act: Callable[[], object], *fragments: str) -> Problem:
    """The problem that an act ends with: one line, which has these parts, and a mend."""
    with pytest.raises(TargetError) as error:
        act()
    (problem,) = error.value.problems
    text = str(problem)
    assert "\n" not in problem.message
    assert [part for part in fragments if part not in text] == [], text
    assert "s3cret-token-of-a-test" not in text
    return problem


def changed(server: KubeServer, folder: Path, change: Callable[[Config], None]) -> Path:
    """A kubeconfig with something else in it."""
    file = server.kubeconfig(folder)
    config = yaml.safe_load(file.read_text())
    change(config)
    file.write_text(yaml.safe_dump(config))
    return file
