"""A store that refuses what the clients of a federation keep, or what was measured at them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from federations import values_of
from stories import Story

import trainwright
from trainwright.errors import RunError
from trainwright.storage import Folder


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


STATEFUL: dict[str, Any] = {
    "federation__aggregator": "feddyn",
    "federation__rounds": 4,
    "federation__evaluate_every": 4,
    "federation__checkpoint_every": 1,
    "federation__client_evaluation": {"every": 1},
}


def refuse(monkeypatch: pytest.MonkeyPatch, *refused: str) -> None:
    write = Folder.write_bytes

    def refusing(folder: Folder, name: str, content: bytes) -> None:
        if name in refused:
            raise OSError(28, "No space left on device")
        write(folder, name, content)

    monkeypatch.setattr(Folder, "write_bytes", refusing)


def test_a_refusal_is_told_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trainwright.run(values_of(**STATEFUL))
    refuse(monkeypatch, "round-00000002.safetensors", "client_metrics/round-00000002.parquet")
    result = trainwright.run(values_of(**STATEFUL, storage="other"))
    story = Story.of(Path(result.storage))
    assert story.metrics == Story.of(Path(whole.storage)).metrics
    told = "could not be written: OSError: [Errno 28] No space left on device"
    assert f"what clients keep {told}; round 2 has no checkpoint" in story.events
    assert f"the table of single clients {told}" in story.events
    kept = sorted(path.name[:13] for path in Path(result.storage, "checkpoints").iterdir())
    assert kept == ["step-00000003", "step-00000004"]


def test_the_last_ones_must_be_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, "round-00000004.safetensors")
    with pytest.raises(RunError, match="what clients keep could not be written"):
        trainwright.run(values_of(**STATEFUL))
