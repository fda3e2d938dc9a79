"""Which checkpoint is exported."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from trainwright.checkpoint import CheckpointWriter, Piece
from trainwright.errors import InputError, RunError
from trainwright.orchestration.exporting import export_run, monitors
from trainwright.storage import Folder


def _run(tmp_path: Path, scores: dict[int, float | None], monitor: str | None = None) -> Folder:
    """A run with a checkpoint at each step whose one weight is the step."""
    folder = Folder(str(tmp_path / "runs" / "a-1"))
    folder.write_json("resolved.json", {"training": {"monitor": monitor}})
    writer = CheckpointWriter(folder, 0, 1, keep_last=9, keep_best=9)
    for step, score in scores.items():
        info = {} if score is None else {"score": score, "higher_is_better": True}
        piece = Piece("param", "model.weight", (1,), 0, torch.tensor([float(step)]))
        writer.save(step, 1, [piece], {}, None, info)
        writer.wait()
    return folder


def _exported(folder: Folder) -> float:
    return load_file(folder.local_path() / "export" / "model.safetensors")["weight"].item()


@pytest.mark.parametrize(
    ("monitor", "which", "step"),
    [
        (None, None, 30),
        (None, "best", 20),
        (None, "last", 30),
        (None, "10", 10),
        (None, 20, 20),
        ("validation/accuracy", None, 20),
        ("validation/accuracy", "last", 30),
    ],
)
def test_the_right_checkpoint(
    tmp_path: Path, monitor: str | None, which: str | int | None, step: int
) -> None:
    folder = _run(tmp_path, {10: 0.5, 20: 0.9, 30: 0.7}, monitor)
    done = export_run(folder, which)
    assert (done.run, done.step, done.files) == ("a-1", step, ["model.safetensors"])
    assert _exported(folder) == step


def test_without_scores_the_last_stands_in_unless_the_best_was_asked_for(tmp_path: Path) -> None:
    folder = _run(tmp_path, {10: None, 20: None}, "validation/accuracy")
    assert export_run(folder).step == 20
    with pytest.raises(InputError, match="no checkpoint has a score"):
        export_run(folder, "best")


def test_a_damaged_checkpoint_is_passed_over_and_named(tmp_path: Path) -> None:
    folder = _run(tmp_path, {10: None, 20: None})
    (shard,) = folder.local_path().glob("checkpoints/step-00000020-a1/*.safetensors")
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    done = export_run(folder)
    assert done.step == 10
    (remark,) = done.remarks
    assert "step-00000020-a1 cannot be used" in remark


def test_a_step_that_is_not_kept_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        export_run(_run(tmp_path, {10: None, 20: None}), 15)
    assert caught.value.problems[0].allowed == "10, 20"


def test_a_run_without_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="has no checkpoint to export"):
        export_run(_run(tmp_path, {}))


def test_monitors_reads_the_resolved_job(tmp_path: Path) -> None:
    assert not monitors(Folder(str(tmp_path)))
    assert monitors(_run(tmp_path, {}, "validation/loss"))
