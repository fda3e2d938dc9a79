"""How well the nearest training samples tell the class: a probe of embeddings."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional

from trainwright.strategy import Declares, Evaluation, Strategy
from trainwright_objectives.options import check_above_zero
from trainwright_strategies.labelled_embeddings import Replaced, accuracy, labelled_embeddings


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
        Class labels, for the measurement alone. At each evaluation every worker embeds its share
        of the training samples, and holds the embeddings of all of them until it ends.

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
        self.num_neighbors = num_neighbors
        self.output = output
        self.target = target
        self.temperature = temperature
        self._replaced = Replaced(read, bank)

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float]:
        """Classify the split by the training samples."""
        vectors, labels = labelled_embeddings(evaluation, self.output, self.target, self._replaced)
        bank = functional.normalize(vectors, dim=1)

        def classify(queries: Tensor) -> Tensor:
            queries = functional.normalize(queries, dim=1)
            return knn_classes(queries, bank, labels, self.num_neighbors, self.temperature)

        return {"knn_accuracy": accuracy(evaluation, self.output, self.target, classify)}
