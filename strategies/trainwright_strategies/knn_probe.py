"""How well the nearest training samples tell the class: a probe of embeddings."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from trainwright.strategy import Batch, Declares, Evaluation, Strategy
from trainwright_objectives.options import check_above_zero
from trainwright_strategies.outputs import column_of, unit_output_of


def knn_classes(
    queries: Tensor, bank: Tensor, labels: Tensor, num_neighbors: int, temperature: float
) -> Tensor:
    """The classes that the nearest vectors of a bank vote for.

    Args:
        queries: vectors of length 1, shape (B, D).
        bank: vectors of length 1, shape (N, D).
        labels: classes of the bank, int64, shape (N,).
        num_neighbors: how many of the nearest vote; the whole bank if it has fewer.
        temperature: a neighbour of similarity s votes with weight ``exp(s / temperature)``.

    Returns:
        int64, shape (B,).
    """
    nearest = (queries @ bank.T).topk(min(num_neighbors, len(bank)), dim=1)
    weights = ((nearest.values - 1) / temperature).exp()
    votes = queries.new_zeros(len(queries), int(labels.max()) + 1)
    return votes.scatter_add(1, labels[nearest.indices], weights).argmax(dim=1)


class KnnProbe(Strategy):
    """Probe: the share of samples whose class their nearest training samples tell.

    The usual measure of an embedding that was learnt without labels. At each evaluation all
    training samples are embedded with the present model, and the held-out ones are classified by
    a weighted vote of their nearest neighbours: ``knn_accuracy``.

    Equation:
        class(x) = argmax_c of the sum over the k nearest training samples y of class c of
        exp(cos(f(x), f(y)) / temperature)

    Args:
        num_neighbors: k, at least 1. Suggested: 20; 1 is nearest neighbour.
        output: name of the model's output; it is scaled to length 1.
        target: column of the classes.
        temperature: above 0; the smaller, the more the nearest count. Suggested: 0.07.
        read: the column that the model reads to make the output; given together with ``bank``.
        bank: the column that it reads in its place for training samples: the clean image beside
            its views, say. Held-out samples are read as in any evaluation.

    Needs:
        Class labels, for the measurement alone. Each evaluation embeds all training samples on
        every worker, and keeps their embeddings in memory until it ends.

    Measured:
        An evaluation takes the passes over the training samples besides; the votes of 5,000
        samples among as many take 0.06 s, embeddings of length 32 (one CPU core).

    Source:
        Z. Wu, Y. Xiong, S. X. Yu, D. Lin, "Unsupervised Feature Learning via Non-Parametric
        Instance Discrimination", 2018, arXiv 1805.01978, section 3.4.

    Raises:
        ValueError: an option is out of range, or the model or the data lacks what it names.
    """

    declares = Declares(probe=True)

    def __init__(
        self,
        num_neighbors: int = 20,
        output: str = "embedding",
        target: str = "target",
        temperature: float = 0.07,
        read: str | None = None,
        bank: str | None = None,
    ) -> None:
        if num_neighbors < 1:
            raise ValueError(f"num_neighbors must be at least 1, got {num_neighbors!r}")
        check_above_zero("temperature", temperature)
        if (read is None) != (bank is None):
            raise ValueError(
                "bank is the column that takes the place of read: give both or neither, got "
                f"read {read!r} and bank {bank!r}"
            )
        self.num_neighbors = num_neighbors
        self.output = output
        self.target = target
        self.temperature = temperature
        self.read = read
        self.bank = bank

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float]:
        """Classify the split by the training samples; unknown while a job is being checked."""
        bank = self._bank(evaluation)
        counted = torch.zeros(2, dtype=torch.float64)
        for batch, outputs in evaluation.batches():
            vectors = unit_output_of(outputs, self.output)
            if bank is not None:
                counted += self._right(vectors, batch[self.target], *bank)
        right, total = evaluation.sum(counted).tolist()
        return {"knn_accuracy": right / total if total else math.nan}

    def _right(self, vectors: Tensor, target: Tensor, bank: Tensor, labels: Tensor) -> Tensor:
        found = knn_classes(vectors, bank, labels, self.num_neighbors, self.temperature)
        return torch.tensor([float((found == target).sum()), len(target)], dtype=torch.float64)

    def _bank(self, evaluation: Evaluation) -> tuple[Tensor, Tensor] | None:
        """Embeddings and classes of all training samples, on every worker."""
        if evaluation.context.data is None:
            return None
        vectors, labels = [], []
        for batch in evaluation.context.data.batches("train"):
            outputs = evaluation.forward(self._as_bank(batch))
            vectors.append(unit_output_of(outputs, self.output))
            labels.append(batch[self.target])
        bank = torch.cat(vectors)
        return bank, torch.cat(labels).to(bank.device)

    def _as_bank(self, batch: Batch) -> Batch:
        if self.read is None or self.bank is None:
            return batch
        column_of(batch, self.read)  # a wrong name would replace nothing
        return {**batch, self.read: column_of(batch, self.bank)}
