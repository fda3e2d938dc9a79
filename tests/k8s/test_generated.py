"""What is generated below k8s is fresh, and right by KubeRay's own definition."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml
from generated import RENDERED, ROOT, files
from kuberay import FIELDS, FREE
from manifests import schema_of

EVERY = dict(files())
IDS = [str(file.relative_to(ROOT)) for file in EVERY]


@pytest.mark.parametrize("file", EVERY, ids=IDS)
def test_it_is_fresh(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert file.read_text() == EVERY[file](), "`make k8s` writes it anew"


def test_every_rendered_file_is_kept_fresh() -> None:
    kept = {one.file for one in RENDERED}
    found = {*ROOT.glob("k8s/overlays/*/submission.yaml"), *ROOT.glob("tests/k8s/golden/*.yaml")}
    assert found == kept


@pytest.fixture(scope="module")
def kuberay(request: pytest.FixtureRequest) -> jsonschema.Draft7Validator:
    crds = request.config.getoption("--crds")
    if crds is None:
        pytest.skip("--crds names no folder of KubeRay's definitions")
    return jsonschema.Draft7Validator(schema_of(Path(crds), "RayJob"))


@pytest.mark.parametrize(
    "file",
    [one.file for one in RENDERED],
    ids=[str(one.file.relative_to(ROOT)) for one in RENDERED],
)
def test_it_is_right_by_kuberays_definition(
    file: Path, kuberay: jsonschema.Draft7Validator
) -> None:
    *_, job = yaml.safe_load_all(file.read_text())
    assert [error.message for error in kuberay.iter_errors(job)] == []


def test_a_misspelt_field_is_noticed(kuberay: jsonschema.Draft7Validator) -> None:
    *_, job = yaml.safe_load_all(RENDERED[0].file.read_text())
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["replica"] = 3
    (error,) = kuberay.iter_errors(job)
    assert "'replica' was unexpected" in error.message


def test_the_fields_that_are_checked_without_it_are_its_own(
    kuberay: jsonschema.Draft7Validator,
) -> None:
    assert_known(FIELDS, kuberay.schema["properties"]["spec"])


def assert_known(shape: object, schema: dict) -> None:
    names = {str: "string", int: "integer", bool: "boolean"}
    if isinstance(shape, list):
        assert_known(shape[0], schema["items"])
    elif isinstance(shape, dict):
        for key, inner in shape.items():
            found = schema["additionalProperties"] if key is str else schema["properties"][key]
            assert_known(inner, found)
    elif shape is not FREE:
        assert schema["type"] == names[shape]
