"""Paths of a supernet drawn by the gradient norms of their operations: the path part of PA&DA."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field
from torch import nn

from trainwright.strategy import Context, Declares, Plan, Step
from trainwright_objectives.options import check_above_zero
from trainwright_strategies.importance import TauSchedule, check_tau_schedule, tau_after
from trainwright_strategies.supernets.operation_scores import OperationScores, weighted_operations
from trainwright_strategies.supernets.protocol import Supernet
from trainwright_strategies.supernets.sampling import PathSampling
from trainwright_strategies.supernets.space import Path


class PathImportanceSampling(PathSampling):
    """Train one path in each update, drawn by its operations' gradient norms: part of PA&DA.

    Of all ways to draw paths the one in proportion to the norms of their gradients has the least
    variance. Paths are drawn operation by operation, in the first epochs nearly uniformly, by and
    by more as the norms of the epoch before say. Operations without weights, such as ``skip``,
    have no norm, and are drawn ever less.

    Equation:
        n_o: mean over the places of operation o on the path of the sum of the norms of its
        weights' gradients, as clipped
        v_o <- (v_o + n_o) / 2 in each update with o on its path, from 0 in each epoch
        p_o = tau * v_o / sum_q v_q + (1 - tau) / O, with tau = t / T after epoch t of T
        path_e ~ p, for each edge e on its own

    Args:
        tau_schedule: ``linear``, or tau itself, in [0, 1]; 0 draws uniformly.
        per_edge: probabilities for each edge on its own, which is not the authors'.
        clip_norm: norm to which the global gradient is clipped, above 0; null leaves the job's
            ``training.max_grad_norm``. The authors': 5.

    Needs:
        What ``uniform_path_sampling`` needs, and an operation with weights. The norms are those
        of the global gradient, the same on all workers. An epoch without a weighted operation
        leaves probabilities as they were. It records ``path_probability/<operation>`` as each
        epoch begins, the mean over the edges.

    Measured:
        An update of ``cell_supernet`` (16 channels, 3 cells, 64 images of 3 x 32 x 32, 0.2 s on a
        busy machine) takes 1.017 (1.003 to 1.044) times the processor time that it takes with
        uniform paths, which are the same ones; one of ``residual_supernet`` (1 ms) about 1.3
        times. With the defaults of ``residual_supernet`` on the digits, 40 epochs, one seed, the
        probability of ``skip`` falls to (1 - tau) / O = 0.0125; widths 1, 4 and 16 have 0.20,
        0.37 and 0.42.

    Source:
        S. Lu, Y. Hu, L. Yang, Z. Sun, J. Mei, J. Tan, C. Song, "PA&DA: Jointly Sampling PAth and
        DAta for Consistent NAS", CVPR 2023, arXiv 2302.14772. As in the authors' code the first
        norm of an epoch is halved, gradients are not weighted by 1 / p, and tau grows linearly. It
        sums norms over cells where here they are averaged: the same probabilities wherever every
        operation is in all cells, and right where one is not.

    Raises:
        ValueError: an option is out of range, or the supernet has no operation with weights.
    """

    declares = Declares(unused_parameters=True, full_gradients=True)

    def __init__(
        self,
        tau_schedule: TauSchedule = "linear",
        per_edge: bool = False,
        clip_norm: Annotated[float, Field(gt=0)] | None = None,
    ) -> None:
        check_tau_schedule(tau_schedule)
        if clip_norm is not None:
            check_above_zero("clip_norm", clip_norm)
        self.tau_schedule = tau_schedule
        self.per_edge = per_edge
        self.clip_norm = clip_norm
        self._untold = True

    def plan(self, plan: Plan) -> Plan:
        """Clip as ``clip_norm`` says."""
        return plan if self.clip_norm is None else replace(plan, max_grad_norm=self.clip_norm)

    def check(self, supernet: Supernet) -> None:
        """Refuse a supernet without weights to choose.

        Raises:
            ValueError: there are none, or no choice.
        """
        super().check(supernet)
        if not weighted_operations(supernet):
            raise ValueError(
                "no operation of the supernet has weights, so none has a gradient to draw it by; "
                "take uniform_path_sampling"
            )

    def model(self, model: nn.Module, context: Context) -> nn.Module:
        """Find the supernet, and begin with uniform probabilities."""
        model = super().model(model, context)
        self._operations = OperationScores(self._supernet, self.per_edge, context.device)
        return model

    def phase_begin(self, phase: str) -> None:
        """Begin again with uniform probabilities, as tau begins again."""
        self._operations.reset()
        self._untold = True

    def next_path(self, step: Step) -> Path:
        """Drawn by the norms of the epoch before."""
        probabilities = self._operations.probabilities
        if self._untold:
            self._tell(probabilities.mean(dim=0).tolist())
        self._path = self.drawn(probabilities)
        return self._path

    def gradients(self, step: Step) -> None:
        """Measure the gradient before it is clipped."""
        assert step.gradients is not None
        self._norms = self._operations.norms(step.model, step.gradients, self._path)

    def updated(self, step: Step) -> None:
        """Count the norms as they were after clipping."""
        self._operations.fold(self._norms * step.clip_factor())

    def epoch_end(self, epoch: int) -> None:
        """Make the probabilities of the next epoch."""
        epochs = -(-self._context.total_steps // self._context.steps_per_epoch)
        self._operations.end_epoch(tau_after(self.tau_schedule, epoch, epochs))
        self._untold = True

    def state_dict(self) -> dict[str, Any]:
        """Norms of the present epoch, and probabilities."""
        return {**self._operations.state_dict(), "untold": self._untold}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back ``state_dict``."""
        self._operations.load_state_dict(state)
        self._untold = bool(state["untold"])

    def _tell(self, probabilities: list[float]) -> None:
        names = self._supernet.space.operations
        told = zip(names, probabilities, strict=True)
        self._context.log({f"path_probability/{name}": value for name, value in told})
        self._untold = False
