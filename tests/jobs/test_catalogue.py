"""The catalogues of methods are fresh, and every method's job is what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from methods.catalogue import CATALOGUES, METHODS


@pytest.fixture(scope="module", params=CATALOGUES, ids=lambda catalogue: catalogue.folder.name)
def page(request: Any) -> tuple[Path, str]:
    """A catalogue's folder, and the page as it should be."""
    return request.param.folder, request.param.page()


def test_the_catalogue_is_fresh(page: tuple[Path, str]) -> None:
    folder, text = page
    assert (folder / "README.md").read_text() == text, "`make docs` writes it anew"


def test_every_job_is_found_under_the_name_of_its_method(page: tuple[Path, str]) -> None:
    folder, text = page
    for job in folder.glob("*.yaml"):
        assert f"### {job.stem}\n" in text, f"there is no method {job.stem}"
        assert f"[`{job.name}`]({job.name})" in text


def test_a_method_without_a_job_of_its_own_names_those_it_is_used_in() -> None:
    assert METHODS.jobs_with("output_scale") == ["margin_control_ce.yaml", "z_loss.yaml"]
    assert "regime_adaptation.yaml" in METHODS.jobs_with("weight_distance")
    assert METHODS.jobs_with("no such method") == []
