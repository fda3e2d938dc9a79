"""Ghost batch norm as a layer alone, ours and Composer's, each over plain batch norm."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common.pairs import Ratio, Side, ratio_of
from common.peers import python_of
from common.processes import Sides, Turn

from costs.layer_side import samples

BATCH, UPDATES, WARM_UP = 128, 2, 1
TOLERANCE = 1e-4
"""Of the losses of both, relative: they come from two versions of torch."""


@dataclass(frozen=True)
class LayerResult:
    """What ghost batch norm costs over the plain batch norm of the same environment.

    Attributes:
        name: whose it is.
        ratio: of the seconds that passed.
        cpu: ratio of the processor seconds.
        ghost: seconds per update with it.
        plain: seconds per update without it.
    """

    name: str
    ratio: Ratio
    cpu: Ratio
    ghost: Side
    plain: Side


def compare(pairs: int) -> list[LayerResult]:
    """Ours, and Composer's where it can be installed.

    Raises:
        RuntimeError: their losses differ.
    """
    composer = python_of("composer")
    with tempfile.TemporaryDirectory() as folder, Sides(Path(folder)) as sides:
        file = Path(folder) / "samples.npz"
        np.savez(file, **samples(BATCH))
        for whose in ("plain", "ours"):
            sides.start(whose, "costs.layer_side", file, whose, block=UPDATES)
        if composer is not None:
            for name, whose in (("plain of composer", "plain"), ("composer", "composer")):
                module = "costs.layer_side"
                sides.start(name, module, file, whose, block=UPDATES, python=composer)
        sides.timed(WARM_UP)
        turns = sides.timed(pairs)
        losses = {name: process.end() for name, process in sides.processes.items()}
    found = [_result("ours", turns["ours"], turns["plain"])]
    if composer is not None:
        check(losses)
        found.append(_result("composer", turns["composer"], turns["plain of composer"]))
    return found


def check(losses: Mapping[str, list[float]]) -> None:
    """That both normalise alike.

    Raises:
        RuntimeError: their losses differ.
    """
    if not np.allclose(losses["ours"], losses["composer"], rtol=TOLERANCE):
        raise RuntimeError(f"the losses differ: {losses['ours']}, {losses['composer']}")


def _result(name: str, ghost: list[Turn], plain: list[Turn]) -> LayerResult:
    wall = [[turn.wall for turn in side] for side in (ghost, plain)]
    cpu = [[turn.cpu for turn in side] for side in (ghost, plain)]
    return LayerResult(name, ratio_of(*wall), ratio_of(*cpu), *map(Side.of, wall))
