"""Paths and samples drawn by their gradient norms: PA&DA for training a supernet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field
from torch import nn

from trainwright.strategy import (
    Batch,
    Compute,
    Context,
    Declares,
    Loss,
    Order,
    Plan,
    Step,
    Strategy,
)
from trainwright_strategies.data_importance_sampling import DataImportanceSampling
from trainwright_strategies.importance import TauSchedule
from trainwright_strategies.path_importance_sampling import PathImportanceSampling
from trainwright_strategies.supernets.sampling import ONE_PATH
from trainwright_strategies.uniform_path_sampling import UniformPathSampling

_OWN_PATHS = ("fair_path_sampling", "path_importance_sampling", "uniform_path_sampling")


class Pada(Strategy):
    """Train a supernet on paths and samples drawn by their gradient norms: PA&DA.

    Weights shared by many architectures get a noisy gradient: which path an update takes, and
    which samples. ``path_importance_sampling`` draws paths, ``data_importance_sampling`` samples,
    both in proportion to gradient norms, for which they are explained there.

    Equation:
        paths: those of ``path_importance_sampling``; samples: those of
        ``data_importance_sampling``; both with tau = t / T after epoch t of T

    Args:
        tau_schedule: ``linear``, or tau itself, in [0, 1]; of paths and samples alike.
        use_pa: draw paths so; False draws them uniformly.
        use_da: draw samples so; False gives every sample once in an epoch. Without both it is
            ``uniform_path_sampling``.
        unbiased: weight the losses of samples so that their expectation is the mean over all.
        per_edge: probabilities of operations for each edge on its own, which is not the authors'.
        clip_norm: norm to which the global gradient is clipped, above 0; null leaves the job's
            ``training.max_grad_norm``. The authors': 5.
        output: name of the model's output, logits of shape (B, C).
        target: column of classes, or of probabilities of shape (B, C).
        label_smoothing: that of the objective, in [0, 1).

    Needs:
        A supernet that classifies, and a table that fits into memory. Path and samples of an
        update are the same for every number of workers.

    Measured:
        An update of ``cell_supernet`` (16 channels, 3 cells, 64 images of 3 x 32 x 32, 0.2 s on a
        busy machine) takes 1.015 (1.007 to 1.021) times the processor time that it takes with
        uniform paths, which are the same ones; one of ``residual_supernet`` (1 ms) 1.5 times,
        0.4 ms more: ``jobs/benchmarks``, paths. Later in training heavier operations are drawn,
        and updates take longer for that.

    Source:
        S. Lu, Y. Hu, L. Yang, Z. Sun, J. Mei, J. Tan, C. Song, "PA&DA: Jointly Sampling PAth and
        DAta for Consistent NAS", CVPR 2023, arXiv 2302.14772; the authors' code, as both parts
        say.

    Raises:
        ValueError: an option is out of range, or the supernet has no operation with weights.
    """

    declares = Declares(
        sample_weights=True,
        unused_parameters=True,
        full_gradients=True,
        conflicts={
            **dict.fromkeys(_OWN_PATHS, ONE_PATH),
            "data_importance_sampling": "pada draws samples itself, unless use_da is false",
        },
    )

    def __init__(
        self,
        tau_schedule: TauSchedule = "linear",
        use_pa: bool = True,
        use_da: bool = True,
        unbiased: bool = False,
        per_edge: bool = False,
        clip_norm: Annotated[float, Field(gt=0)] | None = None,
        output: str = "logits",
        target: str = "target",
        label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        informed = PathImportanceSampling(tau_schedule, per_edge, clip_norm)
        self._clipping = informed
        self._paths = informed if use_pa else UniformPathSampling()
        self._samples = DataImportanceSampling(
            tau_schedule,
            unbiased,
            output=output,
            target=target,
            label_smoothing=label_smoothing,
        )
        self.use_da = use_da
        self._parts: dict[str, Strategy] = {"paths": self._paths}
        if use_da:
            self._parts["samples"] = self._samples
        self.declares = replace(self.declares, sample_weights=use_da and unbiased)

    def plan(self, plan: Plan) -> Plan:
        """Clip as ``clip_norm`` says."""
        return self._clipping.plan(plan)

    def model(self, model: nn.Module, context: Context) -> nn.Module:
        """Find the supernet."""
        return self._paths.model(model, context)

    def objective(self, objective: nn.Module) -> nn.Module:
        """Refuse an objective whose groups of samples must be kept whole, if samples are drawn."""
        return self._samples.objective(objective) if self.use_da else objective

    def begin(self, context: Context) -> None:
        """Find the table of scores."""
        for part in self._parts.values():
            part.begin(context)

    def phase_begin(self, phase: str) -> None:
        """Begin again with uniform probabilities."""
        self._paths.phase_begin(phase)

    def order(self, epoch: int, order: Order) -> Order:
        """An epoch drawn by the scores of the one before."""
        return self._samples.order(epoch, order) if self.use_da else order

    def step(self, step: Step, take: Callable[[], None]) -> None:
        """Take the update with its path."""
        self._paths.step(step, take)

    def loss(self, batch: Batch, compute: Compute) -> Loss:
        """Score the samples."""
        return self._samples.loss(batch, compute) if self.use_da else compute(batch)

    def gradients(self, step: Step) -> None:
        """Measure the operations of the path."""
        self._paths.gradients(step)

    def updated(self, step: Step) -> None:
        """Count them as they were after clipping."""
        self._paths.updated(step)

    def epoch_end(self, epoch: int) -> None:
        """Make the probabilities of operations for the next epoch."""
        self._paths.epoch_end(epoch)

    def state_dict(self) -> dict[str, Any]:
        """The state of both parts."""
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back ``state_dict``."""
        for name, part in self._parts.items():
            part.load_state_dict(state[name])
