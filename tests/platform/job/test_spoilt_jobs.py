"""Example jobs spoilt at random: each is good or refused with places; none crashes or hangs."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import job_corpus
import pytest
from job_texts_spoilt import spoilt_text
from job_values_spoilt import odd_override, spoilt_values

from trainwright.errors import InputError
from trainwright.job import Job
from trainwright.job.kinds import kind_of

QUICK = [text for text in job_corpus.TEXTS if "kind: compare" not in text]
"""The variants of a comparison take their time."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("jobs")
    job_corpus.fill(folder)
    return folder


def spoil(seed: int, texts: list[str], file: Path) -> list[str]:
    """Write a spoilt job; the overrides to read it with."""
    rng = random.Random(seed)
    text = rng.choice(texts)
    way = rng.random()
    if way < 0.35:
        file.write_bytes(spoilt_text(rng, text))
    elif way < 0.9:
        values = spoilt_values(rng, text, texts)
        file.write_bytes(values.encode("utf-8", "surrogatepass"))
    else:
        file.write_text(text)
        return [odd_override(rng, text) for _ in range(rng.choice((1, 1, 3)))]
    return []


def check_all(seeds: range, texts: list[str], folder: Path) -> None:
    found: Counter[bool] = Counter()
    for seed in seeds:
        overrides = spoil(seed, texts, folder / "job.yaml")
        try:
            with job_corpus.limits():
                problems = job_corpus.problems_in(folder / "job.yaml", overrides)
            job_corpus.assert_well_told(problems)
        except BaseException as error:
            raise AssertionError(f"spoilt job number {seed}, {overrides}") from error
        found[bool(problems)] += 1
    assert found[True] > len(seeds) / 2, "hardly any was spoilt"
    assert found[False] > len(seeds) / 50, "hardly any was read to its end"


def test_checked_without_a_crash(folder: Path) -> None:
    check_all(range(120), QUICK, folder)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_thousands_checked_without_a_crash(folder: Path) -> None:
    check_all(range(1000, 6000), job_corpus.TEXTS, folder)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_hundreds_validated_without_a_crash(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole, as ``trainwright validate`` does: the data read, the model built and tried."""
    monkeypatch.chdir(folder)
    for seed in range(10_000, 10_600):
        overrides = spoil(seed, job_corpus.TEXTS, folder / "job.yaml")
        try:
            with job_corpus.limits():
                job = Job.load(folder / "job.yaml", overrides)
                kind_of(job).validate(job)
        except InputError as error:
            job_corpus.assert_well_told(error.problems)
        except BaseException as error:
            raise AssertionError(f"spoilt job number {seed}, {overrides}") from error


def test_a_crash_a_hang_and_greed_are_noticed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_corpus, "LONGEST_S", 0.2)

    def crash() -> None:
        raise KeyError

    def hang() -> None:
        while True:
            pass

    for fault in (crash, hang, lambda: bytearray(16 << 30)):
        monkeypatch.setattr(job_corpus, "problems_in", lambda *_, fault=fault: fault())
        with pytest.raises(AssertionError, match="spoilt job number 7"):
            check_all(range(7, 8), QUICK, folder)
