"""Profiles from which something would be rendered that Kubernetes, KubeRay or Kueue refuse."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from manifests import FOLDER
from pydantic import ValidationError

from trainwright.submission.kubernetes.rendering import render, text_of
from trainwright.submission.packing import pack
from trainwright.submission.profile import Profile


def profile(**values: Any) -> Profile:
    return Profile.model_validate({"image": "i:1", **values}, strict=True)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"cluster": "shared", "queue": "training"}, "cannot wait in a queue"),
        ({"environment": {"RAY_REDIS_ADDRESS": "x"}}, "RAY_REDIS_ADDRESS is set by"),
        ({"environment": {"RAY_enable_autoscaler_v2": "1"}}, "cannot be changed"),
        (
            {"secret_environment": {"REDIS_USERNAME": {"secret": "s", "key": "k"}}},
            "cannot be changed",
        ),
        (
            {"environment": {"A": "1"}, "secret_environment": {"A": {"secret": "s", "key": "k"}}},
            "stands under environment as well",
        ),
        ({"ray_version": "2.51.0"}, "at least 2.53.0"),
        ({"volumes": [{"claim": "c", "path": "/tmp/x"}]}, "/tmp is needed"),
        ({"volumes": [{"claim": "c", "path": "/home"}]}, "/home/trainwright is needed"),
        ({"volumes": [{"claim": "c", "path": "/data/../tmp"}]}, "pattern"),
        (
            {"volumes": [{"claim": "c", "path": "/d"}, {"claim": "e", "path": "/d"}]},
            "the same path",
        ),
        ({"worker": {"tolerations": [{"operator": "Equal", "value": "x"}]}}, "give the key"),
        ({"worker": {"tolerations": [{"key": "a", "value": "x"}]}}, "looks at no value"),
        ({"worker": {"node_selector": {"a b": "x"}}}, "pattern"),
        ({"worker": {"gpu_resource": "gpu"}}, "pattern"),
        ({"worker": {"memory": "0Gi"}}, "pattern"),
        ({"head": {"cpu": 1e6}}, "less than"),
        ({"queue": "a..b"}, "pattern"),
        ({"queue": "q" * 64}, "at most 63"),
        ({"retries": 2**31}, "less than"),
    ],
)
def test_it_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        profile(**values)


PLACES: dict[str, Any] = {
    "environment": lambda secret: {"environment": {"WHERE": f"http://u:{secret}@host"}},
    "environment, signed": lambda secret: {"environment": {"U": f"http://h/?sig={secret}"}},
    "tracking": lambda secret: {"tracking": f"https://user:{secret}@mlflow.example.com"},
    "storage": lambda secret: {"storage": f"az://c/runs?sig={secret}"},
}


@settings(max_examples=20)
@given(st.sampled_from(sorted(PLACES)), st.from_regex(r"[A-Za-z0-9]{12,20}", fullmatch=True))
def test_no_secret_gets_as_far_as_a_manifest(place: str, secret: str) -> None:
    with pytest.raises(ValidationError, match="holds a secret"):
        profile(**PLACES[place](secret))


def test_neither_do_those_of_the_senders_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_PLACE", "http://correct-horse:5000")
    with pytest.raises(ValidationError, match="holds a secret"):
        profile(environment={"ANYTHING": "x http://correct-horse:5000 y"})
    changes = ["tracking.uri=${SECRET_PLACE}", "storage=s3://b/runs"]
    found = profile(secrets=["store"])
    parcel = pack(FOLDER.parent / "jobs" / "quickstart.yaml", changes, found.site)
    text = text_of(render(parcel.base, parcel, found))
    assert "${SECRET_PLACE}" in text
    assert "correct-horse" not in text
