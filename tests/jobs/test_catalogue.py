"""The catalogue of methods is fresh, and every method's job is what it says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
METHODS = ROOT / "jobs" / "methods"


def catalogue() -> ModuleType:
    spec = importlib.util.spec_from_file_location("catalogue", METHODS / "catalogue.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_catalogue_is_fresh() -> None:
    written = (METHODS / "README.md").read_text()
    assert written == catalogue().page(), "`make docs` writes it anew"


def test_every_job_is_found_under_the_name_of_its_method() -> None:
    page = catalogue().page()
    for job in METHODS.glob("*.yaml"):
        assert f"### {job.stem}\n" in page, f"there is no method {job.stem}"
        assert f"[`{job.name}`]({job.name})" in page


def test_a_method_without_a_job_of_its_own_names_those_it_is_used_in() -> None:
    found = catalogue()
    assert found._jobs_with("output_scale") == ["margin_control_ce.yaml", "z_loss.yaml"]
    assert "regime_adaptation.yaml" in found._jobs_with("weight_distance")
    assert found._jobs_with("no such method") == []
