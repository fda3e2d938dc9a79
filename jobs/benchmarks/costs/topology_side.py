"""The Betti matching loss and its gradient on images of one size: a side in turn.

Run as a module with the number of its end of the line, the evaluations in a turn, a file of images,
and whose: ``ours`` or ``topolosses``, whose environment of its own has nothing of ours.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection

import numpy as np
import torch
from common.pace import Pace
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]


def loss_of(whose: str) -> Loss:
    """From predictions and masks (N, 1, H, W) to the mean of the loss over the images."""
    if whose == "ours":
        from trainwright_objectives.betti_matching import BettiMatching

        objective = BettiMatching(betti_weight=1.0, dice_weight=0.0, activation="none")
        return lambda prediction, target: objective(prediction, target)["loss"]
    from topolosses.losses import BettiMatchingLoss

    warnings.simplefilter("ignore")  # that there is one channel, in every call
    theirs: Loss = BettiMatchingLoss(use_base_loss=False, alpha=1.0, include_background=True)
    return theirs


def turned(image: Tensor) -> Tensor:
    """Reflected at the diagonal from below, which undoes itself.

    Edges that have their value from one pixel enter in an order that is arbitrary: ours on turned
    images is that of topolosses on others.
    """
    return image.flip(-2, -1).transpose(-2, -1).contiguous()


def main(end: str, block: str, file: str, whose: str) -> None:
    """Evaluate when told to; hands over the value and the gradient."""
    torch.set_num_threads(1)
    pace = Pace(Connection(int(end)))
    loss, stored = loss_of(whose), np.load(file)
    prediction, target = (
        torch.from_numpy(stored[name])[:, None] for name in ("prediction", "target")
    )
    if whose == "ours":
        prediction, target = turned(prediction), turned(target)
    prediction.requires_grad_()
    found: list[tuple[float, Tensor]] = []

    def turn() -> None:
        for _ in range(int(block)):
            value = loss(prediction, target)
            (gradient,) = torch.autograd.grad(value, prediction)
        found[:] = [(value.item(), gradient)]

    pace.serve(turn)
    value, gradient = found[0]
    pace.end((value, (turned(gradient) if whose == "ours" else gradient).numpy()))


if __name__ == "__main__":
    main(*sys.argv[1:])
