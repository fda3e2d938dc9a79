"""Threads of a procedure's numerics: as many as its CPUs, and afterwards as before."""

from __future__ import annotations

import pytest
import torch
from threadpoolctl import threadpool_info

from trainwright.procedure.threads import threads_of


def counts() -> set[int]:
    return {library["num_threads"] for library in threadpool_info()} | {torch.get_num_threads()}


@pytest.mark.parametrize(
    ("cpus", "wish", "expected"),
    [(0.5, None, 1), (1.0, None, 1), (2.9, None, 2), (1.0, "2", 2), (2.0, "1", 1), (1.0, "x", 1)],
)
def test_as_many_as_there_are_cpus(
    cpus: float, wish: str | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if wish is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", wish)
    import scipy.linalg  # noqa: F401 - loaded later it would be new among those counted

    before = counts()
    with threads_of(cpus):
        assert counts() == {expected}
    assert counts() == before
