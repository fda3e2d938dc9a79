"""Betti matching beside topolosses, which has the C++ of its authors: value and gradient."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common.pairs import Ratio, Side, ratio_of
from common.peers import python_of
from common.processes import Sides
from scipy.ndimage import gaussian_filter

SIZES = {32: 16, 64: 6, 128: 2, 256: 1}
"""Pixels of a side -> evaluations in a turn."""
BATCH, WARM_UP = 8, 1
TOLERANCE = 1e-5
"""By how much losses may differ, relative, and gradients, of their length."""
STEP = 2.0**-22
"""Predictions are multiples of it, so that 1 - p, on which topolosses works, is exact in float32;
otherwise it has ties that the predictions do not have."""


@dataclass(frozen=True)
class TopologyResult:
    """What came of one size.

    Attributes:
        size: pixels of a side.
        ratio: of the seconds that passed, ours over theirs; None where it is not installed.
        cpu: ratio of the processor seconds; likewise.
        ours: seconds for one batch.
        theirs: likewise; None where it is not installed.
        difference: of the losses, relative.
        gradient_difference: length of the difference of the gradients over that of ours.
    """

    size: int
    ratio: Ratio | None
    cpu: Ratio | None
    ours: Side
    theirs: Side | None
    difference: float | None
    gradient_difference: float | None


def images(size: int) -> dict[str, np.ndarray]:
    """Noisy predictions of masks, half of them blobs and half nets, float32 (8, H, W).

    No value stands twice in a prediction, because both order equal ones differently; the highest
    is 1, because topolosses leaves out the component that never dies, which then costs nothing.
    """
    random = np.random.default_rng(size)
    smooth = gaussian_filter(random.normal(size=(BATCH, size, size)), (0, 4, 4))
    smooth /= smooth.std()
    half = BATCH // 2
    target = np.concatenate([smooth[:half] > 0.3, np.abs(smooth[half:]) < 0.3])
    logits = 6 * (gaussian_filter(target.astype(float), (0, 1, 1)) - 0.5)
    logits += random.normal(size=target.shape)
    levels = np.round(1 / (1 + np.exp(-logits)) / STEP).reshape(BATCH, -1)
    order, place = levels.argsort(axis=1), np.arange(size**2)
    rising = np.maximum.accumulate(np.take_along_axis(levels, order, 1) - place, 1) + place
    rising[:, -1] = 1 / STEP
    np.put_along_axis(levels, order, rising, 1)
    prediction = (levels * STEP).reshape(target.shape)
    return {"prediction": prediction.astype(np.float32), "target": target.astype(np.float32)}


def compare(size: int, pairs: int) -> TopologyResult:
    """Time images of one size.

    Raises:
        RuntimeError: losses or gradients of the two differ.
    """
    peer = python_of("topolosses")
    with tempfile.TemporaryDirectory() as folder, Sides(Path(folder)) as sides:
        file = Path(folder) / "images.npz"
        np.savez(file, **images(size))
        module, block = "costs.topology_side", SIZES[size]
        sides.start("ours", module, file, "ours", block=block)
        if peer is not None:
            sides.start("theirs", module, file, "topolosses", block=block, python=peer)
        sides.timed(WARM_UP)
        turns = sides.timed(pairs)
        answers = {name: process.end() for name, process in sides.processes.items()}
    wall = {name: [turn.wall for turn in side] for name, side in turns.items()}
    cpu = {name: [turn.cpu for turn in side] for name, side in turns.items()}
    ours = Side.of(wall["ours"])
    if peer is None:
        return TopologyResult(size, None, None, ours, None, None, None)
    ratios = (ratio_of(times["ours"], times["theirs"]) for times in (wall, cpu))
    differences = check(answers["ours"], answers["theirs"])
    return TopologyResult(size, *ratios, ours, Side.of(wall["theirs"]), *differences)


def check(ours: tuple[float, Any], theirs: tuple[float, Any]) -> tuple[float, float]:
    """By how much loss and gradient of the two differ.

    Raises:
        RuntimeError: by more than rounding.
    """
    loss = abs(ours[0] - theirs[0]) / abs(theirs[0])
    gradient = float(np.linalg.norm(ours[1] - theirs[1]) / np.linalg.norm(theirs[1]))
    if not max(loss, gradient) <= TOLERANCE:
        raise RuntimeError(
            f"Betti matching differs: losses {ours[0]}, {theirs[0]}, gradients by {gradient:.1e}"
        )
    return loss, gradient
