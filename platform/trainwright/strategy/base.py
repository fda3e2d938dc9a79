"""The strategy protocol: the hooks by which a method changes how training proceeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from trainwright.strategy.declares import Declares
from trainwright.strategy.further import AuxModel, Stream
from trainwright.strategy.phases import Fit
from trainwright.strategy.plan import Plan
from trainwright.strategy.step import LossFunction, Step

if TYPE_CHECKING:
    from trainwright.strategy.context import Context
    from trainwright.strategy.evaluation import Evaluation
    from trainwright.strategy.order import Order

Batch = Mapping[str, Tensor]
"""Named columns of one micro-batch; every tensor has the samples along dimension 0."""

Outputs = Mapping[str, Tensor]
"""Named outputs of the model for one micro-batch."""


class Loss(NamedTuple):
    """The loss of one micro-batch; a named tuple, so that DeepSpeed's hooks see its tensors.

    Attributes:
        value: scalar tensor, the mean over the micro-batch; what is differentiated.
        logged: further named scalars (terms of a sum, diagnostics), recorded, not optimised.
    """

    value: Tensor
    logged: Mapping[str, Tensor] = {}

    def plus(self, penalty: Tensor, name: str) -> Loss:
        """This loss with a scalar ``penalty`` added and recorded as ``name``."""
        return Loss(self.value + penalty, {**self.logged, name: penalty.detach()})

    @staticmethod
    def mean(losses: Sequence[Loss]) -> Loss:
        """The average of several losses, recorded scalars included."""
        values = torch.stack([loss.value for loss in losses])
        names = losses[0].logged.keys()
        logged = {
            name: torch.stack([loss.logged[name] for loss in losses]).mean() for name in names
        }
        return Loss(values.mean(), logged)


class Compute(Protocol):
    """The loss of a micro-batch as the next layer sees it: the objective, or the next strategy."""

    def __call__(self, batch: Batch, outputs: Outputs | None = None) -> Loss:
        """The loss of ``batch``; with ``outputs`` given, no forward pass is run for them."""
        ...

    def forward(self, batch: Batch) -> Outputs:
        """The model's named outputs for ``batch``, in training mode."""
        ...

    def per_sample(self, batch: Batch, outputs: Outputs | None = None) -> Tensor:
        """The loss of each sample alone, shape (B,), through the inner ``per_sample`` hooks."""
        ...

    def input_gradient(
        self, batch: Batch, columns: Sequence[str], loss: LossFunction | None = None
    ) -> dict[str, Tensor]:
        """The gradient of the summed loss with respect to columns of ``batch``.

        Parameters get no gradient; buffers and random numbers are left as they were.

        Args:
            batch: a micro-batch.
            columns: floating-point columns.
            loss: mean loss of a micro-batch; None for the objective alone.
        """
        ...

    @property
    def couples(self) -> str:
        """Which samples the objective lets interact: ``sample``, ``group`` or ``batch``."""
        ...


ParameterGroup = dict[str, Any]
"""``{"params": [(name, parameter), ...], **optimizer options}`` as torch optimizers take them."""


class Strategy:
    """Base of all strategies: override the hooks you need; each does nothing by default.

    The loop, with every hook in its place::

        plan = strategies.plan(plan)                     # epochs, batch, rate, schedule
        streams = strategies.streams()                   # further data, drawn by step.next(name)
        model = strategies.model(model, context)         # surgery, before the engine exists
        models = strategies.models(context)              # teachers, discriminators, averages
        objective = strategies.objective(objective)
        groups = strategies.parameters(groups)           # optimizer parameter groups
        engine = Engine(model, objective, groups)
        strategies.begin(context)
        strategies.run(fit)                              # each fit(...) trains a phase, as follows:
        strategies.phase_begin(phase)
        for epoch in epochs:
            order = strategies.order(epoch, order(seed, epoch))   # rows and weights of the epoch
            for update in order:                         # the same on any number of workers
                update.micro_batches = strategies.batch(step, batch, score) for each batch
                def backward():                          # step.backward()
                    for batch in update.micro_batches:
                        loss = strategies.loss(batch, compute)   # first in the job is outermost
                                         # strategies.per_sample(batch, compute) where one asks
                        engine.backward(loss)            # reduced over the workers, unscaled
                def update():                            # step.update()
                    strategies.gradients(step)           # may replace it, or step.skip(reason)
                    engine.update()                      # clip, then move the weights
                def take():                              # innermost part of ``step``
                    step.backward()
                    step.update()
                strategies.step(step, take)              # first in the job is outermost
                averages of the model follow it
                strategies.updated(step)
                if evaluation is due:
                    outputs = strategies.predict(batch, forward)     # of each batch
                    metrics = {**evaluate(outputs), **strategies.evaluate(evaluation)}
                    strategies.evaluated(metrics)        # True asks to stop training
            strategies.epoch_end(epoch)
            checkpoint holds strategies.state_dict()
        model = strategies.export(model)                 # before its weights are written

    ``run`` is code around whole phases. When a run is resumed it is called again from its start:
    ``fit`` returns the recorded results of phases that are finished, and once it is called for
    the phase of the checkpoint it puts back weights, optimizer and the state of all strategies.
    Code between phases therefore runs again on weights that need not be those it saw before; its
    effects are overwritten. So it must be deterministic, call the same phases in the same order,
    and keep what it finds out in ``state_dict``.

    A strategy's constructor is the schema of its options: give every parameter a type, a default
    where one is sane, and raise ``ValueError`` for what cannot work. The same strategy object is
    built on every worker; hooks run on all of them in the same order, and must do the same
    collectives everywhere. State that must survive a restart goes into ``state_dict``: tensors
    and plain values, equal on all workers. Where what it declares depends on its options, the
    constructor sets ``self.declares`` to less than the class declares.
    """

    declares: Declares = Declares()

    def plan(self, plan: Plan) -> Plan:
        """Change the length, batch, rate or schedule of training; returns the plan to use."""
        return plan

    def model(self, model: nn.Module, context: Context) -> nn.Module:
        """Replace or wrap parts of the model before the engine exists; returns the model to use.

        Raises:
            ValueError: the model lacks what the strategy needs (named in the message).
        """
        return model

    def streams(self) -> Mapping[str, Stream]:
        """Further data that the strategy draws by ``step.next(name)``, by name."""
        return {}

    def models(self, context: Context) -> Mapping[str, AuxModel]:
        """Further models by name: teachers, discriminators, averages of the model.

        They are found in ``context.models``, and are built alike on every worker.
        """
        return {}

    def objective(self, objective: nn.Module) -> nn.Module:
        """Replace or wrap the objective.

        It is called as ``objective(outputs, batch, share)`` and returns a :class:`Loss`; ``share``
        says how much of the global batch the micro-batch is: a wrapper passes it on.
        """
        return objective

    def parameters(self, groups: list[ParameterGroup]) -> list[ParameterGroup]:
        """Change the optimizer's parameter groups; returns the groups to use."""
        return groups

    def begin(self, context: Context) -> None:
        """Called once before the first update, after a resume has restored the state."""

    def run(self, fit: Fit) -> None:
        """Around all of training; ``fit(phase=..., **overrides)`` may be called several times.

        With several strategies the first in the job is outermost: its ``fit`` runs the next
        strategy's ``run``, whose phases are then named ``<outer>/<inner>``.
        """
        fit()

    def phase_begin(self, phase: str) -> None:
        """Before the first update of a phase; not again when training is resumed inside it."""

    def order(self, epoch: int, order: Order) -> Order:
        """Change which samples the epoch trains on, in which order, with which weights.

        Called on every worker when an epoch begins, after the strategies before it in the job;
        the result must be the same on all of them. It may use per-sample tables, the strategy's
        own state and ``context.rng(name)``. Weights need ``Declares(sample_weights=True)``.

        Args:
            epoch: counted from 0.
            order: rows of the training table, each once (what the seed says), and weights.

        Returns:
            An order of the same length; see :meth:`Order.replaced`.
        """
        return order

    def batch(self, step: Step, batch: Batch, score: Callable[[Batch], Tensor]) -> Batch:
        """Change one micro-batch before the update: choose among its samples, add columns.

        Args:
            step: the update; its ``batches`` are those that came from the data.
            batch: this micro-batch, left by the strategies before it in the job.
            score: gives the present model's loss of each sample of a batch, shape (B,), without
                gradient; running statistics and random state stay untouched. Call it equally
                often on every worker.

        Returns:
            A batch of at least one sample; the loss is the mean over all that are left. A column
            ``sample_weight`` (B,) weights them (``Declares(sample_weights=True)``).
        """
        return batch

    def step(self, step: Step, take: Callable[[], None]) -> None:
        """Around one update; call ``take()`` to run the micro-batches and move the weights."""
        take()

    def loss(self, batch: Batch, compute: Compute) -> Loss:
        """Around the loss of one micro-batch; ``compute(batch)`` is everything further in.

        Where ``compute.couples`` is ``batch``, the batch is the global one, the same on every
        worker, and the model cannot be run on other inputs; put into tables on worker 0 alone.
        """
        return compute(batch)

    def per_sample(self, batch: Batch, compute: Compute) -> Tensor:
        """Around the loss of each sample, shape (B,), that a strategy further out asks for."""
        return compute.per_sample(batch)

    def gradients(self, step: Step) -> None:
        """Read or replace the global gradient (``step.gradients``) before it is clipped."""

    def updated(self, step: Step) -> None:
        """After the weights have moved."""

    def evaluated(self, metrics: Mapping[str, float]) -> bool:
        """After an evaluation, with its metrics; return True to ask that training stops here."""
        return False

    def needs_metrics(self) -> Sequence[str]:
        """Evaluated metrics that ``evaluated`` reads; a job without them is refused."""
        return ()

    def predict(self, batch: Batch, compute: Callable[[Batch], Outputs]) -> Outputs:
        """Around the model in evaluation; ``compute(batch)`` gives everything further in.

        Metrics, the evaluated loss and ``trainwright predict`` see what this returns.
        """
        return compute(batch)

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float]:
        """Measure further things at each evaluation; name -> value, the same on all workers.

        The names are then found as ``validation/<name>``. It runs before training too, on a few
        samples in the driver, before ``begin``.
        """
        return {}

    def export(self, model: nn.Module) -> nn.Module:
        """Change the trained model into what is exported: fold masks, drop heads, recalibrate.

        Called on a copy, whole and on the CPU, after ``load_state_dict``; the last strategy in
        the job first, so that what was wrapped last is unwrapped first. ``context.data``, from
        the context that ``model`` was given, has samples to recalibrate with.
        """
        return model

    def epoch_end(self, epoch: int) -> None:
        """After the last update of an epoch."""

    def state_dict(self) -> dict[str, Any]:
        """State that a resumed run needs: tensors and plain values only."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""


def overrides(strategy: Strategy, hook: str) -> bool:
    """Whether ``strategy`` overrides ``hook``, so that unused hooks cost nothing in the loop."""
    return getattr(type(strategy), hook) is not getattr(Strategy, hook)
