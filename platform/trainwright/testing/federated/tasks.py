"""What the clients of a miniature learn: quadratics, whose optimum is known, and classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from trainwright.federated import Layout
from trainwright.strategy import Batch, Loss, Outputs


class Quadratics:
    """Clients whose losses are quadratics: that of client k is sum(a_k * (w - c_k)^2) / 2.

    So its gradient is a_k * (w - c_k), and the mean over clients with weights p_k is smallest at
    sum_k p_k a_k c_k / sum_k p_k a_k.

    Args:
        centres: c_k, shape (clients, d).
        curvatures: a_k, shape (clients, d) or (clients, 1), above 0; ones by default.
        num_samples: of each client; one each by default.
        num_steps: updates of each client in a round; one each by default.
    """

    outputs = ("error",)

    def __init__(
        self,
        centres: Tensor,
        curvatures: Tensor | None = None,
        num_samples: Sequence[int] | None = None,
        num_steps: Sequence[int] | None = None,
    ) -> None:
        clients, size = centres.shape
        self.centres = centres.float()
        ones = torch.ones_like(self.centres)
        self.curvatures = ones if curvatures is None else ones * curvatures
        self.num_samples = list(num_samples or [1] * clients)
        self.num_steps = list(num_steps or [1] * clients)
        self.start = torch.zeros(size)
        self.layout = Layout.of([("model.weight", self.start)])

    def batches(self, client: int) -> list[Batch]:
        """The client's quadratic, once for each of its updates."""
        batch = {
            "centre": self.centres[client : client + 1],
            "curvature": self.curvatures[client : client + 1],
        }
        return [batch] * self.num_steps[client]

    def compute(self, weights: Tensor) -> _Quadratic:
        """The loss at some weights."""
        return _Quadratic(weights)

    def optimum(self, shares: Iterable[float] | None = None) -> Tensor:
        """Where the mean loss is smallest, shape (d,), float64, with clients counted by samples.

        Args:
            shares: by what the clients count instead.
        """
        counted = torch.tensor(list(shares or self.num_samples), dtype=torch.float64)[:, None]
        pull = counted * self.curvatures
        return (pull * self.centres).sum(0) / pull.sum(0)


class _Quadratic:
    def __init__(self, weights: Tensor) -> None:
        self.weights = weights

    def forward(self, batch: Batch) -> Outputs:
        return self.forward_at(self.weights, batch)

    def forward_at(self, weights: Tensor, batch: Batch) -> Outputs:
        return {"error": weights - batch["centre"]}

    def __call__(self, batch: Batch, outputs: Outputs | None = None) -> Loss:
        error = (self.forward(batch) if outputs is None else outputs)["error"]
        return _weighted((batch["curvature"] * error.square()).sum(1) / 2, batch)


class Classes:
    """Clients with samples of three classes, each with a few more of one, and a small network.

    The network has an output ``embedding`` beside ``logits``, a tensor of a single element, and
    batch normalisation, by fixed statistics: samples of a batch do not interact.

    Args:
        clients: how many there are.
        alike: whether all have equally many samples.
        local: parameters that do not travel, as the network names them; they are not trained.
    """

    outputs = ("logits", "embedding")

    def __init__(self, clients: int = 6, alike: bool = False, local: Sequence[str] = ()) -> None:
        generator = torch.Generator().manual_seed(0)
        self.model = network().eval()
        named = {f"model.{n}": p for n, p in self.model.named_parameters() if n not in local}
        self.layout = Layout.of(named.items())
        self.start = self.layout.vector(named)
        self.num_samples = [8 if alike else 8 + 4 * (client % 3) for client in range(clients)]
        self._batches = [self._some(client, generator) for client in range(clients)]

    def _some(self, client: int, generator: torch.Generator) -> list[Batch]:
        count = self.num_samples[client]
        target = torch.randint(3, (count,), generator=generator)
        target[: count // 2] = client % 3
        x = torch.eye(3)[target] + 0.5 * torch.randn(count, 3, generator=generator)
        order = torch.randperm(count, generator=generator)
        batches = torch.split(order, 4)
        return [{"x": x[rows], "target": target[rows]} for rows in batches]

    def batches(self, client: int) -> list[Batch]:
        """The client's samples, four in each batch; clients differ in how many they have."""
        return self._batches[client]

    def compute(self, weights: Tensor) -> _Classifier:
        """The loss at some weights."""
        return _Classifier(self, weights)


def network() -> nn.Module:
    """The small network of :class:`Classes`, the same at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _Network()


class _Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.scale = nn.Parameter(torch.ones(1))
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        embedding = torch.tanh(self.norm(self.features(x)))
        return {"logits": self.scale * self.head(embedding), "embedding": embedding}


class _Classifier:
    def __init__(self, task: Classes, weights: Tensor) -> None:
        self.task = task
        self.weights = weights

    def forward(self, batch: Batch) -> Outputs:
        return self._forward(self.weights, batch)

    def forward_at(self, weights: Tensor, batch: Batch) -> Outputs:
        with torch.no_grad():
            return self._forward(weights, batch)

    def _forward(self, weights: Tensor, batch: Batch) -> Outputs:
        views = self.task.layout.views(weights)
        named = {name.removeprefix("model."): value for name, value in views.items()}
        outputs: Outputs = functional_call(self.task.model, named, (batch["x"],))
        return outputs

    def __call__(self, batch: Batch, outputs: Outputs | None = None) -> Loss:
        logits = (self.forward(batch) if outputs is None else outputs)["logits"]
        losses = nn.functional.cross_entropy(logits, batch["target"], reduction="none")
        return _weighted(losses, batch)


def _weighted(losses: Tensor, batch: Batch) -> Loss:
    """The mean over samples, each of which counts by its ``sample_weight``, if there is one."""
    return Loss((losses * batch.get("sample_weight", torch.ones(()))).mean())
