"""Our training loop with the local engine against a bare loop, Lightning and Accelerate.

All train the same model from the same weights on the same samples in the same order, each in a
process of its own; their losses have to agree. See README.md beside this folder.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from common.models import LEARNING_RATE, MAX_GRAD_NORM, MODELS, job_of
from common.pairs import Ratio, Side, ratio_of
from common.peers import python_of
from common.processes import Sides, Turn

from local.work import Answer, Work
from trainwright.data.loading import load_splits
from trainwright.data.order import epoch_order
from trainwright.job.models import TrainJob
from trainwright.strategy import Context
from trainwright.training.assembly import assemble

TOLERANCE = 1e-5
WARM_UP = 2
BLOCKS = {"convnet": 12, "gpt": 8, "mlp": 64}
"""Updates in a turn, of about a fifth of a second."""

OURS, BARE = "ours", "bare loop"
PEERS = {"Lightning": "lightning", "Accelerate": "accelerate"}
"""What the table calls a peer, and the name of its environment; ``local.with_NAME`` runs there."""

PEER_GOAL = 1.0
"""What our time, over a peer's, shall not exceed."""


@dataclass(frozen=True)
class LocalRow:
    """One side.

    Attributes:
        name: of it.
        update: seconds of an update.
        wall: ratio of our seconds to its, where it is another one.
        cpu: the same of seconds of processor, on which a busy machine has less influence.
        goal: what ``wall`` shall not exceed.
        grown_bytes: how far its memory grew over what it was when the samples were there; the
            median over the groups.
    """

    name: str
    update: Side
    wall: Ratio | None
    cpu: Ratio | None
    goal: float | None
    grown_bytes: int


@dataclass(frozen=True)
class LocalResult:
    """What came of one model.

    Attributes:
        model: its name.
        batch_size: samples of an update.
        rows: of all sides there were.
        missing: peers that could not be installed.
        worst_loss_difference: between ours and any other, over all updates.
    """

    model: str
    batch_size: int
    rows: list[LocalRow]
    missing: list[str]
    worst_loss_difference: float


def compare(name: str, groups: int, turns: int, peers: Mapping[str, Path | None]) -> LocalResult:
    """Measure all sides.

    Args:
        name: of the model.
        groups: how often all sides are started anew.
        turns: of each side in a group, besides those that do not count.
        peers: the Python of each of :data:`PEERS`; None where it is not there.

    Raises:
        AssertionError: the losses of two sides differ.
    """
    found = [_once(name, turns, peers) for _ in range(groups)]
    worst = max(worst_difference({s: a.losses for s, a in answers.items()}) for _, answers in found)
    assert worst <= TOLERANCE, f"{name}: the losses differ by {worst:.2e}"
    joined = {side: [turn for group, _ in found for turn in group[side]] for side in found[0][0]}
    grown = {
        side: int(statistics.median(answers[side].grown_bytes for _, answers in found))
        for side in joined
    }
    model = MODELS[name]
    rows = [_row(side, joined, groups, grown[side], model.goal) for side in joined]
    missing = [peer for peer, python in peers.items() if python is None]
    return LocalResult(name, model.batch_size, rows, missing, worst)


def _once(
    name: str, turns: int, peers: Mapping[str, Path | None]
) -> tuple[dict[str, list[Turn]], dict[str, Answer]]:
    """What the turns of new processes took, and what they hand over."""
    block = BLOCKS[name]
    job = job_of(name, MODELS[name].batch_size, block * (WARM_UP + turns), block, workers=0)
    memory = Path("/dev/shm")
    place = memory if memory.is_dir() else None
    with tempfile.TemporaryDirectory(dir=place) as folder, Sides(Path(folder)) as sides:
        work, ours = Path(folder) / "work.pt", Path(folder) / "job.json"
        work_of(job, name).save(work)
        ours.write_text(job.model_dump_json(by_alias=True))
        sides.start(OURS, "local.ours", ours, block=block)
        sides.start(BARE, "local.bare", work, block=block)
        for peer, python in peers.items():
            if python is not None:
                module = f"local.with_{PEERS[peer]}"
                sides.start(peer, module, work, block=block, python=python)
        sides.timed(WARM_UP)
        timed = sides.timed(turns)
        return timed, {side: process.end() for side, process in sides.processes.items()}


def pythons() -> dict[str, Path | None]:
    """The Python of each peer, whose environment is made if need be."""
    return {peer: python_of(name) for peer, name in PEERS.items()}


def work_of(job: TrainJob, name: str) -> Work:
    """What the other sides need to do the work of a job."""
    torch.set_num_threads(1)
    base, size = Path(), job.data.batch_size
    splits = load_splits(job.data, base=base, workers=1, seed=job.seed)
    context = Context(seed=job.seed, rank=0, world_size=1, device=torch.device("cpu"))
    model = assemble(job, base, splits, context).module.model.model
    samples = splits.train.tensors
    num, steps = len(splits.train), job.training.steps
    assert steps is not None
    orders = [
        torch.from_numpy(epoch_order(num, job.seed, epoch))
        for epoch in range(-(-steps * size // num))
    ]
    rows = torch.cat(orders)[: steps * size].view(steps, size)
    x, y = samples[MODELS[name].input], samples["target"]
    return Work(name, model.state_dict(), x, y, rows, LEARNING_RATE, MAX_GRAD_NORM)


def worst_difference(losses: Mapping[str, list[float]]) -> float:
    """The largest difference between our loss and another one of the same update.

    Raises:
        AssertionError: not as many of one side as of the other.
    """
    numbers = {side: len(found) for side, found in losses.items()}
    assert len(set(numbers.values())) == 1, f"updates: {numbers}"
    ours = losses[OURS]
    return max(abs(a - b) for found in losses.values() for a, b in zip(ours, found, strict=True))


def _row(
    side: str, turns: Mapping[str, list[Turn]], groups: int, grown: int, goal: float
) -> LocalRow:
    wall, cpu = ({name: [t[clock] for t in turns[name]] for name in turns} for clock in (0, 1))
    if side == OURS:
        return LocalRow(side, Side.of(wall[side]), None, None, None, grown)
    return LocalRow(
        side,
        Side.of(wall[side]),
        ratio_of(wall[OURS], wall[side], groups),
        ratio_of(cpu[OURS], cpu[side], groups),
        goal if side == BARE else PEER_GOAL,
        grown,
    )
