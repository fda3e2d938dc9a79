"""Clients with quadratic losses, each with its own curvature: where rounds end is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainwright.federated import Aggregator, Layout
from trainwright.strategy import Batch, Loss, Outputs
from trainwright.testing import Miniature, federation_of


@dataclass(frozen=True)
class QuadraticClients:
    """A task of clients whose losses are 1/2 (w - a)' A (w - a), with whole matrices A.

    Attributes:
        curvatures: A, shape (clients, d, d).
        centres: a, shape (clients, d).
        num_steps: local steps of each client in a round.
        num_samples: samples of each client.
        dtype: of the weights and all that is made of them.
    """

    curvatures: Tensor
    centres: Tensor
    num_steps: tuple[int, ...]
    num_samples: tuple[int, ...]
    dtype: torch.dtype = torch.float64
    outputs: tuple[str, ...] = ("error",)

    @classmethod
    def drawn(
        cls,
        num_steps: Sequence[int],
        num_samples: Sequence[int] | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> QuadraticClients:
        """Curvatures between 0.5 and 2.5 along random directions, centres around 0."""
        generator = torch.Generator().manual_seed(0)
        size = len(num_steps)
        normal = torch.randn(size, 3, 3, generator=generator, dtype=torch.float64)
        basis = torch.linalg.qr(normal).Q
        curvature = 0.5 + 2 * torch.rand(size, 3, 1, generator=generator, dtype=torch.float64)
        centres = torch.randn(size, 3, generator=generator, dtype=torch.float64)
        samples = tuple(num_samples or [1] * size)
        return cls(basis.mT @ (curvature * basis), centres, tuple(num_steps), samples, dtype)

    @property
    def start(self) -> Tensor:
        """Zeros."""
        return torch.zeros(self.centres.shape[1], dtype=self.dtype)

    @property
    def layout(self) -> Layout:
        """One tensor."""
        return Layout.of([("model.weight", self.start)])

    def batches(self, client: int) -> list[Batch]:
        """The client's quadratic, once for each of its steps."""
        curvature, centre = self.curvatures[client].to(self.dtype), self.centres[client]
        return [{"A": curvature[None], "a": centre[None].to(self.dtype)}] * self.num_steps[client]

    def compute(self, weights: Tensor) -> _Quadratic:
        """The loss at some weights."""
        return _Quadratic(weights)

    def miniature(
        self,
        aggregator: Aggregator,
        cohort_of: Callable[[int], Sequence[int]] | None = None,
        **sgd: Any,
    ) -> Miniature:
        """These clients under an aggregator."""
        federation = federation_of(self, len(self.num_steps), options=sgd)
        return Miniature(aggregator, self, federation, cohort_of)

    def optimum(self, shares: Sequence[float]) -> Tensor:
        """Where the sum of the losses times ``shares`` is least."""
        return self._centre(self.curvatures, shares)

    def limit(self, lr: float, shares: Sequence[float]) -> Tensor:
        """Where rounds of gradient descent end whose updates are added up times ``shares``.

        A step maps w - a to (I - lr A) (w - a), so that K of them change w by
        -(I - (I - lr A)^K) (w - a); at the limit these changes cancel.
        """
        unit = torch.eye(self.centres.shape[1], dtype=torch.float64)
        parts = zip(self.curvatures, self.num_steps, strict=True)
        pulls = [unit - torch.linalg.matrix_power(unit - lr * A, steps) for A, steps in parts]
        return self._centre(torch.stack(pulls), shares)

    def _centre(self, pulls: Tensor, shares: Sequence[float]) -> Tensor:
        weighted = torch.tensor(list(shares), dtype=torch.float64)[:, None, None] * pulls
        right = (weighted @ self.centres[:, :, None]).sum(0)
        return torch.linalg.solve(weighted.sum(0), right)[:, 0]


class _Quadratic:
    def __init__(self, weights: Tensor) -> None:
        self.weights = weights

    def forward(self, batch: Batch) -> Outputs:
        return self.forward_at(self.weights, batch)

    def forward_at(self, weights: Tensor, batch: Batch) -> Outputs:
        return {"error": weights - batch["a"]}

    def __call__(self, batch: Batch, outputs: Outputs | None = None) -> Loss:
        error = (self.forward(batch) if outputs is None else outputs)["error"]
        return Loss(((error[:, None] @ batch["A"])[:, 0] * error).sum(1).mean() / 2)


def two_on_a_line() -> QuadraticClients:
    """Losses 1/2 (w - 1)^2 with two steps and one sample, (w + 1)^2 with one step and three."""
    curvatures = torch.tensor([[[1.0]], [[2.0]]], dtype=torch.float64)
    centres = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    return QuadraticClients(curvatures, centres, (2, 1), (1, 3))
