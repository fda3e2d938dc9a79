"""Profiles: found by name, mistakes told at their lines."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from trainwright.errors import InputError
from trainwright.submission.profile import find_profile, profiles_here
from trainwright.submission.profile.schema import profile_schema

GOOD = "image: ghcr.io/o/image:1\n"


@pytest.fixture(autouse=True)
def _place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("TRAINWRIGHT_PROFILE", raising=False)


def put(name: str, text: str, folder: str = "k8s/profiles") -> Path:
    file = Path(folder) / f"{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def told(named: str | None = None, *changes: str) -> str:
    with pytest.raises(InputError) as caught:
        find_profile(named, changes)
    return str(caught.value)


def test_profiles_of_the_project_go_before_those_of_the_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put("default", GOOD)
    put("gpu", GOOD + "worker: {gpu: 1}\n")
    put("gpu", GOOD + "worker: {gpu: 2}\n", "config/trainwright/profiles")
    put("mine", GOOD + "worker: {gpu: 3}\n", "config/trainwright/profiles")
    elsewhere = put("far", GOOD + "worker: {gpu: 4}\n", "elsewhere")
    assert list(profiles_here()) == ["default", "gpu", "mine"]
    found = [find_profile(name).worker.gpu for name in (None, "gpu", "mine", str(elsewhere))]
    assert found == [0, 1, 3, 4]
    monkeypatch.setenv("TRAINWRIGHT_PROFILE", "mine")
    assert find_profile().worker.gpu == 3
    assert find_profile("gpu").worker.gpu == 1


def test_the_user_s_folder_is_in_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    put("default", GOOD, "home/.config/trainwright/profiles")
    assert find_profile().image == "ghcr.io/o/image:1"
    put("tilde", GOOD, "home")
    assert find_profile("~/tilde.yaml").image == "ghcr.io/o/image:1"


def test_a_profile_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    first = told()
    assert first.splitlines()[0] == "--profile: none is named, and there is none called default"
    assert "NAME.yaml in k8s/profiles" in first
    put("gpu", GOOD)
    assert "nearest: gpu" in told("gpus")
    assert told("gpus").startswith("--profile: there is no such profile")
    monkeypatch.setenv("TRAINWRIGHT_PROFILE", "gup")
    named = told()
    assert named.startswith("TRAINWRIGHT_PROFILE: there is no such profile")
    assert "nearest: gpu" in named
    assert "--profile: there is no such file" in told("./nowhere.yaml")


def test_a_profile_extends_another() -> None:
    put("default", GOOD + "worker: {cpu: 8, gpu: 1}\nretries: 1\n")
    put("large", "extends: default.yaml\nworker: {gpu: 4}\n")
    found = find_profile("large", ["retries=2", "head.cpu=1.5"])
    assert (found.worker.cpu, found.worker.gpu, found.retries, found.head.cpu) == (8, 4, 2, 1.5)
    put("one", "extends: two.yaml\n")
    put("two", "extends: one.yaml\n")
    assert "the files extend one another in a circle" in told("one")
    put("three", "extends: none.yaml\n")
    assert told("three").startswith("k8s/profiles/three.yaml:1: there is no file")


MISTAKES = {
    "unknown key": ("imgae: x\n", ["imgae: there is no key 'imgae' here", "nearest: image"]),
    "missing": ("worker: {gpu: 1}\n", ["image: is missing"]),
    "inner key": (GOOD + "worker: {gpus: 1}\n", ["worker.gpus: there is no key", "nearest: gpu"]),
    "wrong type": (GOOD + "worker: {gpu: '1'}\n", ["worker.gpu: ", "write 1 without quotes"]),
    "number for a text": (GOOD + "node: 1\n", ["there is no key 'node'"]),
    "text": (GOOD + "environment: {A: 1}\n", ["environment.A: ", 'put quotes around it: "1"']),
    "negative": (GOOD + "retries: -1\n", ["retries: is out of range", ">= 0"]),
    "quantity": (GOOD + "head: {memory: 8GB}\n", ["head.memory: has another form", "16Gi"]),
    "number as quantity": (GOOD + "scratch: 20\n", ["scratch: ", '"20"']),
    "cpu": (GOOD + "head: {cpu: 0}\n", ["head.cpu: is out of range", "> 0"]),
    "milli-cpu": (GOOD + "head: {cpu: 500m}\n", ["head.cpu: is of the wrong type", "number"]),
    "name": (GOOD + "namespace: My_Team\n", ["namespace: has another form", "small letters"]),
    "image without tag": ("image: repo/image\n", ["image: has another form", "image:1.2"]),
    "variable": (GOOD + "environment: {a-b: x}\n", ["environment", "has another form"]),
    "secret": (
        GOOD + "environment: {API_TOKEN: x}\n",
        ["environment: API_TOKEN is called like a secret"],
    ),
    "effect": (
        GOOD + "worker: {tolerations: [{key: gpu, effect: NoShedule}]}\n",
        ["worker.tolerations.0.effect: is none of the allowed values", "nearest: NoSchedule"],
    ),
    "policy": (GOOD + "pull_policy: always\n", ["pull_policy: ", "nearest: Always"]),
    "relative path": (
        GOOD + "volumes: [{claim: c, path: data}]\n",
        ["volumes.0.path: has another form", "/data"],
    ),
    "half a volume": (GOOD + "volumes: [{path: /data}]\n", ["volumes.0.claim: is missing"]),
    "no list": (GOOD + "secrets: mine\n", ["secrets: is of the wrong type", "a list"]),
    "null": (GOOD + "namespace: null\n", ["namespace: is empty"]),
    "key of a job": (GOOD + "optimizer: adam\n", ["optimizer: there is no key 'optimizer' here"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_its_line_and_what_is_allowed(mistake: str) -> None:
    text, words = MISTAKES[mistake]
    put("default", f"# a comment\n{text}")
    found = told()
    line = 2 if not text.startswith(GOOD) else 3
    if mistake != "missing":
        assert found.startswith(f"k8s/profiles/default.yaml:{line}: ")
    for word in words:
        assert word in found
    assert "unguessable" not in found
    assert "a job" not in found
    assert "[a-z" not in found  # no regular expressions


def test_several_mistakes_at_once_and_changes_as_they_are_written() -> None:
    put("default", GOOD + "retires: 1\nworker: {gpu: x}\n")
    found = told(None, "head.cpus=1", "pull_policy=Never")
    lines = [line for line in found.splitlines() if not line.startswith(" ")]
    assert [line.partition(": ")[0] for line in lines] == [
        "k8s/profiles/default.yaml:2",
        "k8s/profiles/default.yaml:3",
        "--set-profile head.cpus=1",
    ]
    assert "--set-profile a: an override needs" in told(None, "a")


@pytest.mark.parametrize("key", ["storage", "tracking", "environment.A"])
def test_a_profile_holds_no_secrets(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "correct-horse-battery")
    put("default", GOOD)
    for value in ("https://me:12345678@host", "correct-horse-battery"):
        found = told(None, f"{key}={value}")
        assert f"{key}: holds a secret" in found
        assert "12345678" not in found
        assert "horse" not in found
        assert "secret_environment" in found
    assert find_profile(None, [f"{key}=https://me:${{WORD}}@host"])


def test_what_a_job_may_rely_on() -> None:
    put(
        "default",
        GOOD + "storage: s3://b/r\ntracking: http://mlflow\nenvironment: {A: b}\n"
        "volumes: [{claim: c, path: /data, read_only: true}, {claim: d, path: /runs}]\n"
        "secret_environment: {TOKEN_OF_MINE: {secret: s, key: k}}\n",
    )
    site = find_profile().site
    assert (site.storage, site.tracking, site.environment) == (
        "s3://b/r",
        "http://mlflow",
        {"A": "b"},
    )
    assert (site.mounts, site.read_only) == (("/data", "/runs"), ("/data",))
    assert site.secrets == frozenset({"TOKEN_OF_MINE"})
    assert not site.shares_disk
    assert find_profile(None, ["secrets=[all-of-it]"]).site.secrets is None


def test_the_schema_for_editors_knows_what_is_a_profile() -> None:
    schema = Draft202012Validator(profile_schema())
    Draft202012Validator.check_schema(schema.schema)
    for file in (Path(__file__).parents[3] / "k8s" / "profiles").glob("*.yaml"):
        assert list(schema.iter_errors(yaml.safe_load(file.read_text()))) == []
    for text, _ in MISTAKES.values():
        if "API_TOKEN" not in text:  # what no schema can say
            assert list(schema.iter_errors(yaml.safe_load(text))), text
    assert list(schema.iter_errors({"extends": "default.yaml", "retries": 2})) == []
    assert schema.schema["properties"]["image"]["description"]
