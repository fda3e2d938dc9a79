"""A method with phases, as a user would write it: train, prune by magnitude, rewind, train again.

The lottery ticket experiment of Frankle et al. (2020), with weights rewound to an early step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from trainwright.strategy import Context, Fit, Step, Strategy


class Mask(nn.Module):
    """Multiplies a weight by zeros and ones in the forward pass."""

    def __init__(self, shape: torch.Size) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones(shape))

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask


class PruneRewind(Strategy):
    """Three phases; of each linear layer a share of the weights is left for the last one.

    Args:
        keep: share of the weights that stays.
        die_at: update after which the process fails, to be resumed.
    """

    def __init__(self, keep: float = 0.5, die_at: int | None = None) -> None:
        self.keep = keep
        self.die_at = die_at
        self.early: dict[str, Tensor] = {}
        self.begun: list[str] = []

    def model(self, model: nn.Module, context: Context) -> nn.Module:
        self.masks: dict[str, Mask] = {}
        for name, layer in list(model.named_modules()):
            if isinstance(layer, nn.Linear):
                mask = Mask(layer.weight.shape)
                parametrize.register_parametrization(layer, "weight", mask)
                self.masks[f"model.{name}.parametrizations.weight.original"] = mask
        return model

    def run(self, fit: Fit) -> None:
        fit("early", steps=2)
        self.early = fit.weights()
        dense = fit("dense", epochs=2, schedule={"name": "linear"})
        assert dense.steps == 6
        self._prune(fit.weights())
        fit(
            "sparse",
            steps=5,
            batch_size=24,
            optimizer={"lr": 0.02, "weight_decay": 0.0},
            objective=nn.CrossEntropyLoss(label_smoothing=0.1),
            weights=self.early,
        )

    def _prune(self, weights: Mapping[str, Tensor]) -> None:
        for name, mask in self.masks.items():
            size = weights[name].abs()
            least = size.flatten().sort(descending=True).values[int(self.keep * size.numel()) - 1]
            mask.mask.copy_(size >= least)

    def phase_begin(self, phase: str) -> None:
        self.begun.append(phase)

    def updated(self, step: Step) -> None:
        if step.index == self.die_at:
            raise RuntimeError("killed by the test")

    def export(self, model: nn.Module) -> nn.Module:
        for layer in list(model.modules()):
            if parametrize.is_parametrized(layer, "weight"):
                parametrize.remove_parametrizations(layer, "weight")
        return model

    def state_dict(self) -> dict[str, Any]:
        return {"early": dict(self.early), "begun": list(self.begun)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.early, self.begun = dict(state["early"]), list(state["begun"])
