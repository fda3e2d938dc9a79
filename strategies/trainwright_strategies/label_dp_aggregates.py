"""Responses of bags that keep labels private: the mean of clipped labels, plus Laplace noise."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from trainwright.data.random import key, uniform
from trainwright.strategy import Batch, Context, Declares, Step, Strategy
from trainwright_strategies.outputs import column_of


def private_means(
    response: Tensor, bag_id: Tensor, clip: float, epsilon: float, noise_key: int
) -> Tensor:
    """The noisy mean response of each row's bag; the same at every call.

    Args:
        response: of each instance, shape (N, ...); rows of a bag are all here.
        bag_id: int64, shape (N,).
        clip: responses are cut to [-clip, clip], above 0.
        epsilon: what is spent on each label, above 0; infinity adds no noise.
        noise_key: decides the noise, together with the bag's id.

    Returns:
        Shape (N, ...), equal on the rows of a bag.
    """
    ids, bag, counts = torch.unique(bag_id, return_inverse=True, return_counts=True)
    rows = response.double().clamp(-clip, clip).reshape(len(response), -1)
    sums = rows.new_zeros(len(ids), rows.shape[1]).index_add(0, bag, rows)
    # One label moves the mean of its bag by at most 2 * clip / k in each of its components.
    scale = 2 * clip * rows.shape[1] / (counts.unsqueeze(1) * epsilon)
    noise = laplace(uniform(noise_key, ids, (rows.shape[1],)).double())
    means: Tensor = sums / counts.unsqueeze(1) + scale * noise
    return means[bag].reshape(response.shape).to(response.dtype)


def laplace(u: Tensor) -> Tensor:
    """Numbers of the standard Laplace distribution from uniform ones in [0, 1)."""
    centred = u + 2.0**-25 - 0.5  # the middle of the cell of width 2**-24: never an end
    return -centred.sign() * torch.log1p(-2 * centred.abs())


class LabelDpAggregates(Strategy):
    """Train on mean responses of bags that are private: clip labels, add Laplace noise once.

    The response of each bag is replaced by the mean of its instances' labels, each cut to
    [-clip, clip], plus Laplace noise. As a label is in one bag, and the bag's noise is drawn once
    for the whole run, what the model sees satisfies epsilon label differential privacy, however
    long it trains. Larger bags need less noise and tell less.

    Equation:
        bag_target = (1 / k) * sum over the bag of min(max(y_i, -clip), clip) + Laplace(b), with
        b = 2 * clip * C / (k * epsilon) for a bag of k instances and labels of C numbers.

    Args:
        epsilon: privacy spent on each label, above 0; None adds no noise. Suggested: 0.5 to 4.
        clip: above 0; None leaves labels as they are, which allows no noise. Suggested: 2 for
            labels of standard deviation 1 around 0.
        label: column of the instances' labels.
        bag_target: column of the bags' responses, which is replaced.

    Needs:
        An objective that keeps bags whole (``aggregate_interpolating``) with responses that are
        means, and labels around 0 (transform ``scale``). The noise follows from the job's seed: it
        protects as long as that is secret, and is drawn in floating point, which an attacker
        who sees exact numbers may use. Evaluation, and bags that are held out, are not private.

    Measured:
        A training step of the MLP below takes 1.7 times that without (one busy CPU core).
        Diabetes, labels of standard deviation 1, MLP 10-32-1, 200 updates of all bags, 8 seeds,
        squared error of single patients held out with 95 % interval: epsilon 2: bags of four
        (``rho`` 0.5) 1.11 (0.94 to 1.28), single labels 1.88 (1.52 to 2.24); epsilon 4: bags of
        four (``rho`` 0.05) 0.96 (0.77 to 1.16), single labels 0.90 (0.76 to 1.04), where bags do
        not pay any more. Predicting the mean gives 1.

    Source:
        A. Javanmard, L. Chen, V. Mirrokni, A. Badanidiyuru, G. Fu, "Learning from Aggregate
        Responses: Instance Level versus Bag Level Loss Functions", ICLR 2024, arXiv 2401.11081; no
        code of the authors is known.

    Raises:
        ValueError: an option is out of range, or the objective does not keep bags whole.
    """

    declares = Declares(functional=True, neutral={"epsilon": None, "clip": None})

    def __init__(
        self,
        epsilon: Annotated[float, Field(gt=0)] | None = 1.0,
        clip: Annotated[float, Field(gt=0)] | None = 2.0,
        label: str = "target",
        bag_target: str = "bag_target",
    ) -> None:
        if epsilon is not None and not (math.isfinite(epsilon) and epsilon > 0):
            raise ValueError(f"epsilon must be a number above 0, or null, got {epsilon!r}")
        if clip is not None and not (math.isfinite(clip) and clip > 0):
            raise ValueError(f"clip must be a number above 0, or null, got {clip!r}")
        if clip is None and epsilon is not None:
            raise ValueError(
                "without clip a single label may move its bag by any amount, which no noise "
                f"hides: give clip, or epsilon: null; got epsilon {epsilon!r}"
            )
        self.epsilon = epsilon
        self.clip = clip
        self.label = label
        self.bag_target = bag_target

    def model(self, model: nn.Module, context: Context) -> nn.Module:
        """Leave the model; note where the noise comes from."""
        self._key = key(context.seed, "label_dp_aggregates")
        return model

    def objective(self, objective: nn.Module) -> nn.Module:
        """Leave the objective; note the column of its bags.

        Raises:
            ValueError: it keeps no bags whole.
        """
        columns = [getattr(module, "group", None) for module in objective.modules()]
        found = [column for column in columns if column is not None]
        if not found:
            raise ValueError(
                "the objective keeps no bags whole, so that their means cannot be taken: use "
                "aggregate_interpolating"
            )
        self._bag_id = str(found[0])
        return objective

    def batch(self, step: Step, batch: Batch, score: object) -> Batch:
        """The batch with private responses."""
        if self.clip is None:
            return batch
        label, response = self._columns(batch)
        epsilon = math.inf if self.epsilon is None else self.epsilon
        means = private_means(label, batch[self._bag_id], self.clip, epsilon, self._key)
        return {**batch, self.bag_target: means.reshape(response.shape)}

    def _columns(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Labels and responses.

        Raises:
            ValueError: a column is missing, or labels are no values of the responses' form.
        """
        label, response = (column_of(batch, name) for name in (self.label, self.bag_target))
        if not label.is_floating_point() or label.numel() != response.numel():
            raise ValueError(
                f"labels must be values of the same form as responses, {tuple(response.shape)}, "
                f"got {tuple(label.shape)} of {label.dtype}"
            )
        return label, response
