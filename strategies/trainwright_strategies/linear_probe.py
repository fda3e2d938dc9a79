"""How well a linear classifier on frozen embeddings tells the class: a probe."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from trainwright.strategy import Declares, Evaluation, Strategy
from trainwright_objectives.options import check_above_zero
from trainwright_strategies.labelled_embeddings import Replaced, accuracy, labelled_embeddings

MOST_STEPS = 500


def scale_of(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each number of ``vectors`` (N, D); 1 where it is constant."""
    spread = vectors.std(dim=0, correction=0)
    return vectors.mean(dim=0), torch.where(spread > 0, spread, 1.0)


def softmax_regression(
    vectors: Tensor, labels: Tensor, weight_decay: float
) -> tuple[Tensor, Tensor]:
    """The best linear classifier: cross-entropy with an L2 penalty on the weights, by L-BFGS.

    Args:
        vectors: shape (N, D).
        labels: classes, int64, shape (N,).
        weight_decay: factor of half the squared norm of the weights, above 0; it makes the
            optimum the only one.

    Returns:
        Weights (C, D) and biases (C,), in float64.
    """
    vectors = vectors.double()
    classes = int(labels.max()) + 1
    weights = vectors.new_zeros(classes, vectors.shape[1], requires_grad=True)
    biases = vectors.new_zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weights, biases],
        max_iter=MOST_STEPS,
        tolerance_grad=1e-6,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )

    def penalised() -> Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(vectors @ weights.T + biases, labels)
        loss = loss + weight_decay / 2 * weights.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        optimizer.step(penalised)  # type: ignore[no-untyped-call]
    return weights.detach(), biases.detach()


class LinearProbe(Strategy):
    """Probe: accuracy of a linear classifier that is trained on the frozen embeddings.

    The usual measure of an embedding that was learnt without labels, beside ``knn_probe``. At each
    evaluation all training samples are embedded with the present model, a softmax regression is
    fitted to them, and the held-out samples are classified by it: ``linear_accuracy``.

    Equation:
        W, b = argmin of the mean over training samples of cross_entropy(W z + b, class)
        + weight_decay / 2 * ||W||^2, with z the embedding f(x) whose numbers are brought to mean 0
        and standard deviation 1 over the training samples; class(x) = argmax (W z + b).

    Args:
        output: name of the model's output.
        target: column of the classes.
        weight_decay: above 0. Suggested: 0.001 for thousands of samples, less for more.
        read: the column that the model reads to make the output; given together with ``bank``.
        bank: the column that it reads in its place for training samples: the clean image beside
            its views, say. Held-out samples are read as in any evaluation.

    Needs:
        Class labels, for the measurement alone. At each evaluation every worker embeds its share
        of the training samples, and fits the classifier to all of them.

    Measured:
        Beside the passes over the training samples 0.03 s for 1,200 of them, embeddings of length
        32 and 10 classes (one CPU core). What it shows: see ``contrastive`` and ``memory_bank``.

    Source:
        Common practice. F. Wang, H. Liu, 2021, arXiv 2012.09740, as many others, train the
        classifier by 100 epochs of stochastic gradient descent at a rate of 30; here it is the
        optimum, which depends on no rate and no seed.

    Raises:
        ValueError: an option is out of range, or the model or the data lacks what it names.
    """

    declares = Declares(probe=True)

    def __init__(
        self,
        output: str = "embedding",
        target: str = "target",
        weight_decay: float = 1e-3,
        read: str | None = None,
        bank: str | None = None,
    ) -> None:
        check_above_zero("weight_decay", weight_decay)
        self.output = output
        self.target = target
        self.weight_decay = weight_decay
        self._replaced = Replaced(read, bank)

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float]:
        """Fit the classifier to the training samples, and classify the split by it."""
        vectors, labels = labelled_embeddings(evaluation, self.output, self.target, self._replaced)
        mean, spread = scale_of(vectors)
        weights, biases = softmax_regression((vectors - mean) / spread, labels, self.weight_decay)

        def classify(queries: Tensor) -> Tensor:
            scaled = ((queries - mean) / spread).double()
            return (scaled @ weights.T + biases).argmax(dim=1)

        return {"linear_accuracy": accuracy(evaluation, self.output, self.target, classify)}
