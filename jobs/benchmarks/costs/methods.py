"""What methods cost: whole workers that train with a method and without it, in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from common import twins

IMAGES = {"name": "synthetic_images", "image_size": 32, "channels": 3}
CONVNET = {"name": "convnet"}
GHOSTS = [{"name": "ghost_batch_norm", "ghost_batch_size": 32}]
INNER_STEPS = 5
BALL = {"eps": 0.03, "steps": INNER_STEPS, "clip": None}


@dataclass(frozen=True)
class Method:
    """A method and the plain step beside it.

    Attributes:
        name: in the table.
        model: the model's section of both jobs.
        strategies: of the side with the method.
        objective: of that side.
        plain_objective: of the other one.
        bound: forward and backward passes of one of its updates; what the ratio is divided by
            before it is held against the goal.
        goal: what that shall not exceed; None for none.
    """

    name: str
    model: Mapping[str, Any]
    strategies: Sequence[Mapping[str, Any]] = ()
    objective: Any = "cross_entropy"
    plain_objective: Any = "cross_entropy"
    bound: int = 1
    goal: float | None = None
    batch_size: int = field(default=64, kw_only=True)


RESNET = {"name": "resnet", "depth": 8}
DROPOUT = {**CONVNET, "dropout": 0.5}
METHODS = (
    Method("ghost batch norm, convnet", CONVNET, GHOSTS, goal=1.03, batch_size=128),
    Method("ghost batch norm, resnet", RESNET, GHOSTS, goal=1.03, batch_size=128),
    Method(
        "8 dropout samples, convnet",
        DROPOUT,
        [{"name": "multi_sample_dropout", "num_samples": 8}],
        goal=1.10,
    ),
    Method("perpGrad, convnet", CONVNET, ["perp_grad"]),
    Method(
        "adversarial training, 5 inner steps",
        CONVNET,
        [{"name": "done_at", "temperature": None, "barrier": 0.0, **BALL}],
        bound=INNER_STEPS + 1,
        goal=1.05,
    ),
    Method(
        "done_at, 5 inner steps",
        CONVNET,
        [{"name": "done_at", **BALL}],
        bound=INNER_STEPS + 1,
        goal=1.05,
    ),
    Method(
        "adv_comp_sum, 5 inner steps",
        CONVNET,
        [{"name": "adv_comp_sum", **BALL}],
        objective="smooth_adv_comp_sum",
        plain_objective="comp_sum",
        bound=INNER_STEPS + 2,
        goal=1.05,
    ),
)


@dataclass(frozen=True)
class MethodResult(twins.Compared):
    """What came of one method, over the plain step.

    Attributes:
        name: of the method.
        bound: forward and backward passes of one of its updates.
        goal: what the ratio over ``bound`` shall not exceed; None for none.
    """

    name: str
    bound: int
    goal: float | None


def values_of(method: Method) -> tuple[dict[str, Any], dict[str, Any]]:
    """The jobs with and without the method."""
    common = {
        "data": {"source": IMAGES, "batch_size": method.batch_size},
        "model": dict(method.model),
    }
    ours = {**common, "objective": method.objective, "strategies": list(method.strategies)}
    return ours, {**common, "objective": method.plain_objective}


def compare(method: Method, pairs: int) -> MethodResult:
    """Time one method in a fresh process."""
    found = twins.compare(*values_of(method), pairs)
    return MethodResult(**vars(found), name=method.name, bound=method.bound, goal=method.goal)
