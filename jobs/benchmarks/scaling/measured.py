"""What the record of the scaling benchmark gives the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from scaling.model import Network, Workload, predict, shared

FLOAT = 4
SPARED_TENSORS = 10
"""Of our three small models; it enters nothing but the manifest of a checkpoint."""


def network_here(results: Mapping[str, Any], stage: int) -> Network:
    """Links as two workers on loopback have them.

    Between two, a ring has two messages, which hold each byte once.
    """
    lines = results["costs"]["links"]["2"]
    if stage == 0:
        alpha, beta = lines["all_reduce"]["fixed"], lines["all_reduce"]["each"]
    else:
        pair = lines["reduce_scatter"], lines["all_gather"]
        alpha, beta = (sum(line[key] for line in pair) for key in ("fixed", "each"))
    return Network(alpha_s=alpha / 2, beta_s=beta)


def workload_of(results: Mapping[str, Any], model: str, stage: int) -> Workload:
    """What one of our workers does for a model, alone on this machine."""
    step = results["costs"]["steps"][model]
    alone = _row(results, model, stage, 1, "weak")["seconds"]["ours"]["median"]
    forward, backward = (step[part]["median"] for part in ("forward", "backward"))
    size = FLOAT * step["parameters"]
    return Workload(
        name=f"{model}, ZeRO {stage}",
        parameters=step["parameters"],
        tensors=SPARED_TENSORS,
        samples=step["samples"],
        compute_s=alone,
        fixed_s=max(alone - forward - backward, 0.0),
        backward_s=backward,
        gradient_bytes=size,
        state_bytes=3 * size,
        spread=step["spread"],
    )


def _row(
    results: Mapping[str, Any], model: str, stage: int, workers: int, way: str
) -> Mapping[str, Any]:
    wanted = {"model": model, "stage": stage, "workers": workers, "way": way}
    for row in results["scaled"]:
        if all(row["case"][key] == value for key, value in wanted.items()):
            found: Mapping[str, Any] = row
            return found
    raise LookupError(f"nothing was measured of {wanted}")


def models_of(results: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Models and stages that were measured."""
    found = {(row["case"]["model"], row["case"]["stage"]): None for row in results["scaled"]}
    return list(found)


@dataclass(frozen=True)
class Held:
    """A prediction for this machine beside what was measured on it.

    Attributes:
        case: what was trained.
        oversubscribed: whether there were more workers than cores.
        predicted_s: of an update.
        measured_s: of ours.
    """

    case: Mapping[str, Any]
    oversubscribed: bool
    predicted_s: float
    measured_s: float

    @property
    def error(self) -> float:
        """How much too large the prediction is, as a share of what was measured."""
        return self.predicted_s / self.measured_s - 1


def validation(results: Mapping[str, Any]) -> list[Held]:
    """Every case of several workers."""
    found = []
    for row in results["scaled"]:
        case = row["case"]
        workers, stage = case["workers"], case["stage"]
        if workers == 1:
            continue
        work = workload_of(results, case["model"], stage)
        if case["way"] == "strong":
            work = shared(work, workers)
        crowd = results["costs"]["crowds"][str(workers)][case["model"]]
        work = replace(work, compute_s=crowd * work.compute_s)
        predicted = predict(work, network_here(results, stage), workers)
        measured = row["seconds"]["ours"]["median"]
        found.append(Held(case, row["oversubscribed"], predicted.seconds, measured))
    return found
