"""Targets as users name them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trainwright.errors import InputError, Problem
from trainwright.submission.targets import Address

PROFILE = "image: ghcr.io/o/image:1\nnamespace: theirs\n"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """What targets were made with; none is."""
    from trainwright.submission.kubernetes import target as of_kubernetes
    from trainwright.submission.ray_jobs import target as of_ray

    made: list[Any] = []
    monkeypatch.setattr(of_kubernetes, "KubernetesTarget", lambda *given: made.append(given))
    monkeypatch.setattr(of_ray, "RayTarget", lambda *given: made.append(given))
    folder = tmp_path / "k8s" / "profiles"
    folder.mkdir(parents=True)
    (folder / "default.yaml").write_text(PROFILE)
    (folder / "gpu.yaml").write_text(PROFILE + "worker: {gpu: 1}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("TRAINWRIGHT_PROFILE", raising=False)
    return made


def refused(**named: Any) -> list[Problem]:
    with pytest.raises(InputError) as caught:
        Address(**named).open()
    return caught.value.problems


@pytest.mark.parametrize(
    ("to", "nearest"),
    [
        ("K8s", "k8s"),
        ("k8", "k8s"),
        ("kubernetes", "k8s"),
        ("Kubernets", "k8s"),
        ("kuberay", "k8s"),
        ("localhost:8265", "http://localhost:8265"),
        ("10.0.0.7:8265/ray", "http://10.0.0.7:8265/ray"),
        ("htp://host:8265", "http://host:8265"),
        ("HTTPS://host", "https://host"),
        ("ray://host:10001", "http://host:10001"),
        ("http://host:8265?x=1", "http://host:8265"),
        ("somewhere", None),
        ("", None),
        ("http://", None),
    ],
)
def test_what_is_no_target(to: str, nearest: str | None, opened: list[Any]) -> None:
    (problem,) = refused(to=to)
    assert (problem.path, problem.nearest, problem.got) == ("--to", nearest, to)
    assert opened == []


def test_an_address_holds_no_password(opened: list[Any]) -> None:
    (problem,) = refused(to="https://me:hunter22@host:8265")
    assert "hunter22" not in str(problem)
    assert "RAY_AUTH_TOKEN" in str(problem.mend)


def test_a_ray_cluster(opened: list[Any], tmp_path: Path) -> None:
    Address("http://127.0.0.1:8265/").open()
    certificates = tmp_path / "ca.pem"
    certificates.write_text("x")
    Address("https://host/ray/", ca_file=certificates).open()
    assert opened == [("http://127.0.0.1:8265", None), ("https://host/ray", certificates)]


def test_options_that_mean_nothing(opened: list[Any], tmp_path: Path) -> None:
    told = refused(to="http://h:1", profile="gpu", changes=("a=1",), namespace="n", context="c")
    assert [problem.path for problem in told] == [
        "--profile",
        "--set-profile",
        "--namespace",
        "--context",
    ]
    assert [p.path for p in refused(to="k8s", ca_file=tmp_path)] == ["--ca-file"]


def test_kubernetes(opened: list[Any]) -> None:
    Address("k8s").open()
    Address("k8s", "gpu", ("worker.gpu=2",), namespace="123", context="there: it is").open()
    (plain, options), (changed, further) = opened
    assert (plain.namespace, plain.context, options) == ("theirs", None, ("--to", "k8s"))
    assert (changed.namespace, changed.context, changed.worker.gpu) == ("123", "there: it is", 2)
    assert further == (
        "--to",
        "k8s",
        "--profile",
        "gpu",
        "--namespace",
        "123",
        "--context",
        "there: it is",
    )


@pytest.mark.parametrize("change", ["namespace=x", " context = y"])
def test_what_other_commands_must_know_is_no_change_of_the_profile(
    change: str, opened: list[Any]
) -> None:
    (problem,) = refused(to="k8s", changes=(change,))
    assert problem.path == "--set-profile"
    assert f"--{change.partition('=')[0].strip()} NAME" in str(problem.mend)
