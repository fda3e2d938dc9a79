"""How far features and classifier are from the geometry that theory predicts for them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Annotated, Literal, get_args

import torch
from pydantic import Field
from torch import Tensor, nn

from trainwright.strategy import Batch, Context, Declares, Evaluation, Strategy
from trainwright_strategies.collapse_geometry import (
    ClassStatistics,
    Frame,
    Target,
    distances,
    frame,
    layer_distances,
    within_over_between,
)
from trainwright_strategies.layers.deep_linear import find_head, product
from trainwright_strategies.outputs import column_of

Split = Literal["train", "validation", "test"]


class NeuralCollapse(Strategy):
    """Measure how far features and classifier are from neural collapse.

    A probe: at each evaluation it goes once through the training samples and compares class
    means and classifier with the geometry that theory predicts at the end of training. For
    unequal classes under ``ufm_mse`` and ``deep_linear_head`` the prediction is a general
    orthogonal frame (``gof``), in which every class has its own length, and small ones may have
    none. The measures are found as ``validation/collapse/...``, whatever samples they are of.

    Equation:
        ``nc1`` = trace(Sigma_W pinv(Sigma_B)) / K;
        ``nc2_w`` = dist(W W^T, T), ``nc2_h`` = dist(M^T M, T'), ``nc3`` = dist(W M, T''),
        ``nc3_duality`` = dist(W, D M^T), with dist(A, B) = || A / ||A|| - B / ||B|| ||, W the
        product of the classifier's layers and M the class means (for ``etf`` without the mean of
        all samples). ``identity``: T = T' = T'' = I, D = I; ``etf``: I - 1/K instead; ``gof``:
        diagonals of S_k, S_k / (S_k + tau)^2, S_k / (S_k + tau) and S_k + tau, where S_k
        minimises (p_k / 2) * tau / (S + tau) + (depth / 2) * weight_decay * S^(1/depth), p_k
        the share of the class. Names end with the target: ``nc2_w_gof``.
        ``length_error`` = max over classes of | ||w_k|| - sqrt(S_k) | over the largest sqrt(S_k),
        and ``num_collapsed`` counts the classes with S_k = 0 (both for ``gof``).

    Args:
        targets: what to compare with, some of ``identity`` (bias-free squared error, equal
            classes), ``etf`` (cross-entropy, or squared error with bias) and ``gof`` (bias-free
            squared error, any classes). Default: ``identity``.
        weight_decay: of each layer of the classifier, above 0; for ``gof``.
        feature_decay: tau of ``ufm_mse``, above 0; for ``gof``.
        layer: dotted name of the classifier; None takes the linear layer registered last.
        every_layer: also compare the products that begin at later layers, with the features in
            front of them (``nc2_w_from_2_gof``).
        lengths: also record the length of every class's row and mean, ``length_w/0``, and with
            ``gof`` what is predicted, ``length_w_gof/0``.
        split: samples to measure on: ``train``, ``validation`` or ``test``.
        column: of the batch, with the classes.

    Needs:
        A classification job with a validation split, and a model whose classifier is an
        ``nn.Linear`` or that of ``deep_linear_head``, with no more classes than features.
        Classes without samples are left out and counted (``num_absent``).

    Measured:
        Each evaluation costs one pass over the samples. Wine, MLP 128-64, 3 linear layers,
        300 updates on all samples, 5 seeds: ``nc2_w_gof`` 0.031 (95 % interval 0.011 to 0.051)
        and ``nc2_w_identity`` 0.148; lengths as predicted within 1.1 % on average; ``nc1`` 5e-4,
        without decay 0.02 (``nc2_w_gof`` 0.47). With free features the prediction is met to 1e-5.
        Digits, batches of 128: from the first epoch to the 40th ``nc1`` falls from 1.45 to 0.035,
        at a training accuracy of 0.997 to 0.999.

    Source:
        H. Dang, T. Tran, S. Osher, H. Tran-The, N. Ho, T. Nguyen, "Neural Collapse in Deep Linear
        Networks: From Balanced to Imbalanced Data", 2023, arXiv 2301.00437. The authors' code
        takes a stationary point as the prediction wherever one exists; here, as in the paper, the
        threshold decides.

    Raises:
        ValueError: an option is out of range.
    """

    declares = Declares(probe=True)

    def __init__(
        self,
        targets: list[Target] | None = None,
        weight_decay: Annotated[float, Field(gt=0)] | None = None,
        feature_decay: Annotated[float, Field(gt=0)] | None = None,
        layer: str | None = None,
        every_layer: bool = False,
        lengths: bool = False,
        split: Split = "train",
        column: str = "target",
    ) -> None:
        self.targets: list[Target] = ["identity"] if targets is None else list(targets)
        _check_options(self.targets, weight_decay, feature_decay, split)
        self.weight_decay = weight_decay or 0.0
        self.feature_decay = feature_decay or 0.0
        self.layer = layer
        self.every_layer = every_layer
        self.lengths = lengths
        self.split: Split = split
        self.column = column

    def model(self, model: nn.Module, context: Context) -> nn.Module:
        """Leave the model; its classifier is looked for later, as other strategies leave it."""
        self._model = model
        return model

    def objective(self, objective: nn.Module) -> nn.Module:
        """Leave the objective.

        Raises:
            ValueError: ``gof`` under cross-entropy.
        """
        if "gof" in self.targets and any(
            isinstance(part, nn.CrossEntropyLoss) for part in objective.modules()
        ):
            raise ValueError(
                "'gof' predicts the outcome of squared error, not of cross-entropy: use the "
                "objective ufm_mse, or the target etf"
            )
        return objective

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float]:
        """One pass over the samples.

        Raises:
            ValueError: the classifier is not what the predictions are about.
        """
        name, head = find_head(self._model, self.layer)
        layers = [head] if isinstance(head, nn.Linear) else list(head.children())
        self._check_head(name, layers)
        every, weights = self._measured(evaluation, layers)
        there = every.counts > 0
        statistics, weights = every.present(), [*weights[:-1], weights[-1][there]]
        found = {
            "nc1": within_over_between(statistics),
            "num_absent": float((~there).sum()),
        }
        for target in self.targets:
            decays = self.weight_decay, self.feature_decay
            expected = frame(target, statistics.counts, len(weights), *decays)
            found.update(self._compared(statistics, weights, expected))
            if target == "gof":
                found.update(self._lengths(there, expected.lengths, "_gof"))
        lengths = product(weights).norm(dim=1), statistics.means.norm(dim=1)
        found.update(self._lengths(there, lengths, ""))
        return {f"collapse/{name}": value for name, value in found.items()}

    def _check_head(self, name: str, layers: Sequence[nn.Module]) -> None:
        if "gof" in self.targets and getattr(layers[-1], "bias", None) is not None:
            raise ValueError(
                f"the classifier {name} has a bias, for which 'gof' predicts nothing: use the "
                "strategy deep_linear_head (with num_layers 1 if need be)"
            )
        classes = _width(layers[-1], "out_features")
        width = min(_width(layer, "in_features") for layer in layers)
        needed = classes - 1 if self.targets == ["etf"] else classes
        if width < needed:
            raise ValueError(
                f"{classes} classes need features of at least {needed} numbers to be as predicted, "
                f"and the classifier {name} has {width}"
            )

    def _measured(
        self, evaluation: Evaluation, layers: Sequence[nn.Module]
    ) -> tuple[ClassStatistics, list[Tensor]]:
        """Features of all workers' samples by class, and the weights of the classifier."""
        statistics = ClassStatistics.zeros(
            _width(layers[-1], "out_features"), _width(layers[0], "in_features")
        )
        with _watched(layers) as seen:
            for batch, _ in evaluation.batches(self.split):
                assert seen.features is not None
                statistics.add(seen.features, _classes(batch, self.column))
        sums = [evaluation.sum(getattr(statistics, f.name)) for f in fields(statistics)]
        return ClassStatistics(*sums), [seen.weights[index] for index in range(len(layers))]

    def _compared(
        self, statistics: ClassStatistics, weights: Sequence[Tensor], expected: Frame
    ) -> dict[str, float]:
        found = distances(statistics, weights, expected)
        if self.every_layer:
            found.update(layer_distances(statistics, weights, expected))
        if expected.target == "gof":
            found["length_error"] = expected.length_error(product(weights))
            found["num_collapsed"] = float((expected.strength == 0).sum())
        return {f"{name}_{expected.target}": value for name, value in found.items()}

    def _lengths(
        self, there: Tensor, lengths: tuple[Tensor, Tensor], suffix: str
    ) -> dict[str, float]:
        if not self.lengths:
            return {}
        classes = there.nonzero().flatten().tolist()
        return {
            f"length_{kind}{suffix}/{index}": float(length)
            for kind, values in zip(("w", "h"), lengths, strict=True)
            for index, length in zip(classes, values, strict=True)
        }


@dataclass
class _Seen:
    """What the classifier met and is.

    Attributes:
        features: its input in the last forward pass.
        weights: of each layer, in float64 on the CPU.
    """

    features: Tensor | None = None
    weights: dict[int, Tensor] = field(default_factory=dict)


@contextmanager
def _watched(layers: Sequence[nn.Module]) -> Iterator[_Seen]:
    """Inside, forward passes are noted."""
    seen = _Seen()

    def note(index: int, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if index == 0:
            seen.features = inputs[0].detach()
        if index not in seen.weights:
            seen.weights[index] = torch.as_tensor(layer.weight).detach().double().cpu()

    # In front of other hooks: at ZeRO stage 3 one of them lets go of the weight.
    handles = [
        layer.register_forward_hook(partial(note, index), prepend=True)
        for index, layer in enumerate(layers)
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _width(layer: nn.Module, name: str) -> int:
    return int(getattr(layer, name))


def _classes(batch: Batch, column: str) -> Tensor:
    target = column_of(batch, column)
    if target.dim() != 1 or target.is_floating_point():
        raise ValueError(f"the column {column!r} must hold one class index per sample")
    return target


def _check_options(
    targets: Sequence[Target], weight_decay: float | None, feature_decay: float | None, split: str
) -> None:
    known = get_args(Target)
    if not targets or len(set(targets)) < len(targets) or set(targets) - set(known):
        raise ValueError(f"targets must be some of {', '.join(known)}, got {targets!r}")
    for name, decay in (("weight_decay", weight_decay), ("feature_decay", feature_decay)):
        if decay is not None and not (math.isfinite(decay) and decay > 0):
            raise ValueError(f"{name} must be None or a number above 0, got {decay!r}")
        if decay is None and "gof" in targets:
            raise ValueError(f"the target 'gof' needs {name}, that of the training")
    if split not in get_args(Split):
        raise ValueError(f"split must be train, validation or test, got {split!r}")
