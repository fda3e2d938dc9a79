"""A run's weights as plain safetensors, from any of its checkpoints."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from torch import nn

from trainwright.checkpoint import Checkpoint, CheckpointStore, export_state, export_weights
from trainwright.errors import InputError, Problem, RunError
from trainwright.orchestration.rebuilding import Rebuilt, rebuild
from trainwright.orchestration.run_code import base_of
from trainwright.runs import RESOLVED, RunRecord, find_run
from trainwright.storage import Folder
from trainwright.suggest import one_of


@dataclass(frozen=True)
class Exported:
    """An export.

    Attributes:
        run: name of the run.
        checkpoint: name of the checkpoint that the weights are from.
        step: updates that were finished then.
        folder: URL of the folder that was written.
        files: names of the files in it.
        remarks: damaged checkpoints that were passed over.
    """

    run: str
    checkpoint: str
    step: int
    folder: str
    files: list[str]
    remarks: list[str]


def export_run(
    folder: Folder,
    which: str | int | None = None,
    target: Folder | None = None,
    trusted: bool = False,
) -> Exported:
    """Write a run's weights as safetensors, after what its strategies' ``export`` hooks make.

    Args:
        folder: the run's folder.
        which: ``best``, ``last`` or a step; by default the best checkpoint if the job monitors
            a metric, otherwise the last one.
        target: where to; by default ``export`` inside the run's folder.
        trusted: whether code that comes with the run may be executed, see ``rebuild``.

    Raises:
        InputError: there is no such checkpoint.
        RunError: the run has no checkpoint at all.
        CheckpointError: the checkpoint is damaged.
    """
    name = folder.url.rstrip("/").rsplit("/", 1)[-1]
    store = CheckpointStore(folder)
    checkpoint = chosen(store, name, which, folder)
    target = target or folder / "export"
    metadata = {"run": name, "step": str(checkpoint.step)}
    if trusted:
        base_of(folder, checkpoint.state, trusted)
    if checkpoint.state.get("exports"):
        state = exported_model(rebuild(folder, checkpoint, trusted)).state_dict()
        files = export_state(state, target, metadata=metadata)
    else:
        tied = checkpoint.state.get("tied", {})
        files = export_weights(checkpoint, target, metadata=metadata, aliases=tied)
    remarks = list(store.warnings)
    return Exported(name, checkpoint.name, checkpoint.step, target.url, files, remarks)


def exported_model(rebuilt: Rebuilt) -> nn.Module:
    """A run's model after the ``export`` hooks of its strategies, in evaluation mode.

    Raises:
        RunError: a hook gives something else than a module.
    """
    model = rebuilt.assembly.module.model.model.eval()
    for name, strategy in reversed(rebuilt.assembly.strategies.items()):
        model = strategy.export(model)
        if not isinstance(model, nn.Module):
            raise RunError(f"strategy {name}: export must return a module, not {type(model)}")
    return model.eval()


def monitors(folder: Folder) -> bool:
    """Whether the run's job names the metric that says which checkpoint is best."""
    training = (folder.read_object(RESOLVED) or {}).get("training")
    return isinstance(training, dict) and bool(training.get("monitor"))


def chosen(
    store: CheckpointStore, name: str, which: str | int | None, folder: Folder
) -> Checkpoint:
    """The checkpoint that ``best``, ``last``, a step or nothing means, see :func:`export_run`."""
    refuse_whole(folder)
    if isinstance(which, str) and which.isdecimal():
        which = int(which)
    if isinstance(which, int):
        return _at_step(store, name, which)
    if which not in (None, "best", "last"):
        raise InputError(
            Problem("--checkpoint", "names no checkpoint", which, allowed="best, last or a step")
        )
    found = store.best() if which == "best" or (which is None and monitors(folder)) else None
    if found is None and which != "best":
        found = store.latest()
    if found is not None:
        return found
    if store.list():
        mend = "use --checkpoint last, or give the job a validation split"
        raise InputError(Problem("--checkpoint", "no checkpoint has a score", which, mend=mend))
    raise RunError(
        f"run {name} has no checkpoint to export; the same job again goes on to its first one"
    )


def refuse_whole(folder: Folder) -> None:
    """Refuse a run that consists of other ones, which have the weights, and name the best of them.

    Raises:
        InputError: it does.
    """
    kind = (folder.read_object(RESOLVED) or {}).get("kind")
    if kind not in _WHOLES:
        return
    found = folder.read_object("sweep.json") or {}
    runs = {trial["number"]: trial["run"] for trial in found.get("trials", [])}
    best = next((runs[number] for number in found.get("best", []) if runs.get(number)), None)
    mend = f"`trainwright runs --parent {folder.name}` lists them"
    if best is not None:
        mend = f"its best trial is {best}: name that one; {mend}"
    message = f"is a {_WHOLES[kind]}, whose runs have the weights"
    raise InputError(Problem("RUN", message, folder.name, mend=mend))


_WHOLES = {"sweep": "sweep", "compare": "comparison"}
"""Kind of a job whose runs are others -> the word for it."""


def named_checkpoint(storage: Folder, source: str) -> tuple[Folder, RunRecord, Checkpoint]:
    """The run and the checkpoint that ``RUN[@best|last|STEP]`` means.

    Raises:
        InputError: there is no such run or checkpoint, or it is a sweep or a comparison.
        RunError: the run has no checkpoint at all.
    """
    run, _, which = source.partition("@")
    folder, record = find_run(storage, run)
    return folder, record, chosen(CheckpointStore(folder), record.name, which or None, folder)


def fingerprint_of(folder: Folder, checkpoint: Checkpoint) -> str:
    """Identifies the content of a run's checkpoint: its manifest has the checksums of it all."""
    manifest = folder.read_bytes(f"checkpoints/{checkpoint.name}/manifest.json")
    return hashlib.sha256(manifest).hexdigest()[:32]


def _at_step(store: CheckpointStore, name: str, step: int) -> Checkpoint:
    steps = sorted({checkpoint.step for checkpoint in store.list()})
    if step in steps:
        return store.at(step)
    kept = one_of([str(number) for number in steps]) or "it has none at all"
    message = f"run {name} keeps no checkpoint of this step"
    raise InputError(Problem("--checkpoint", message, step, allowed=kept))
