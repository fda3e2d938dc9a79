"""Dual-head knowledge distillation: a head of its own for the logit-level loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Literal, get_args

import torch
from pydantic import Field
from torch import Tensor, nn

from trainwright.plugins.markers import JobPath, Nested
from trainwright.strategy import (
    AuxModel,
    Batch,
    Compute,
    Context,
    Declares,
    Evaluation,
    Fit,
    Loss,
    Outputs,
    Step,
    Strategy,
)
from trainwright_objectives.binary_kl import BinaryKL
from trainwright_objectives.binary_kl_norm import BinaryKLNorm
from trainwright_objectives.distillation_kl import DistillationKL
from trainwright_objectives.options import check_at_least_zero
from trainwright_strategies.alignment import Scope, aligned, cosine
from trainwright_strategies.layers.auxiliary_head import NAME, auxiliary_head
from trainwright_strategies.layers.deep_linear import find_linear_head
from trainwright_strategies.layers.teacher import Teacher, check_teacher
from trainwright_strategies.outputs import output_of

_LOSSES = {"binary_kl_norm": BinaryKLNorm, "binary_kl": BinaryKL, "distillation_kl": DistillationKL}

Head = Literal["linear", "nonlinear", "none"]
Alignment = Literal["none", "all", "shared"]
Part = Literal["both", "task", "distillation", "teacher"]


class DualHeadDistillation(Strategy):
    """Distil logits through a second head that does not disturb the first: dual-head distillation.

    A teacher's logits are matched by an auxiliary classifier on the model's features, while the
    job's objective keeps the model's own. Both losses reach the features, neither reaches the
    other's head. Evaluation is the model's own; the auxiliary head is not exported.

    Equation:
        loss = objective(logits, target) + weight * distillation(auxiliary logits, teacher logits).
        With alignment, g1 and g2 the global gradients of both terms: where g1 . g2 < 0,
        g2 becomes g2 - (g1 . g2 / |g1|^2) g1; the step takes g1 + g2.

    Args:
        teacher: model that teaches, by name with options; sizes come from the data.
        teacher_weights: path or URL of its weights: a safetensors file, or the folder that
            ``trainwright export RUN`` writes from a checkpoint of an earlier run. Other weights
            need another path: the run goes by its name.
        teacher_epochs: instead, train it for so long on the job's objective, in a phase before.
        teacher_source: samples of that phase, a name of ``data.sources``; None for the job's own.
        teacher_lr: Adam's rate in that phase.
        teacher_logits: instead of a teacher, the column that holds what it says.
        loss: ``binary_kl_norm`` (the method's), ``binary_kl`` or ``distillation_kl``.
        temperature: of that loss, above 0. Suggested: 2; 4 for ``distillation_kl``.
        weight: of that loss, at least 0; 0 trains without teacher. Suggested: 1 for up to 100
            classes, 0.1 for 1000: the binary losses add up over the classes.
        head: ``linear``; ``nonlinear`` (linear, dropout, batch normalisation, ReLU, linear) for
            weak features; ``none`` distils into the model's own head, the usual single-head form.
        hidden: width of the nonlinear head.
        dropout: rate of the nonlinear head, in [0, 1).
        alignment: ``none``; ``all`` projects as the authors' code does, where |g1| counts the
            model's own head as well; ``shared`` over the parameters that both losses reach. It
            records cosines of the gradients and ``descent``, (step . g1) / |g1|^2, at least 1.

    Needs:
        A classifier with outputs ``logits`` (N, C) and ``embedding`` (N, width), the input of its
        last linear layer; a teacher with as many classes, whose inputs are called as the model's.
        Batches of at least 2 samples per worker for the nonlinear head. An objective that does
        not couple the batch. The teacher stands whole on every worker.

    Measured:
        A step takes 1.4 times that without teacher for equally large student and teacher (MLP
        256-256, batch 64, one CPU core, median ratio of interleaved steps), of which the second
        head is 0.02; 2.1 times with a nonlinear head, 4.2 times with alignment, which makes two
        passes and adds up products over all weights. Digits, MLP 64-16-10 on 200 images, teacher
        of 256-256 trained on 899 others, 5 seeds, test accuracy: cross-entropy 0.898; dual head
        0.925 (paired gain 0.027, 95 % interval 0.018 to 0.036); its auxiliary head 0.942; aligned
        0.921; on one head ``binary_kl`` 0.933, ``distillation_kl`` (temperature 4, weight 0.9
        beside 0.1 for cross-entropy) 0.942. The conflict for which the method was made does
        not appear here: both gradients agree on the single head (mean cosine 0.27). With a
        teacher that learnt from the same 200 images there was no gain (-0.001 +- 0.009).

    Source:
        P. Yang, C.-C. Zong, S.-J. Huang, L. Feng, B. An, "Dual-Head Knowledge Distillation:
        Enhancing Logits Utilization with an Auxiliary Head", KDD 2025, arXiv 2411.08937. The
        order and scope of the projection are those of the authors' code; the projection itself is
        one side of T. Yu et al., "Gradient Surgery for Multi-Task Learning", 2020, arXiv
        2001.06782.

    Raises:
        ValueError: an option is out of range, or the model lacks what is needed.
    """

    declares = Declares(several_forwards=True, neutral={"weight": 0.0})

    def __init__(
        self,
        teacher: Annotated[Callable[..., nn.Module] | None, Nested("models")] = None,
        teacher_weights: Annotated[str | None, JobPath()] = None,
        teacher_epochs: Annotated[int, Field(ge=0)] = 0,
        teacher_source: str | None = None,
        teacher_lr: Annotated[float, Field(gt=0)] = 1e-3,
        teacher_logits: str | None = None,
        loss: Literal["binary_kl_norm", "binary_kl", "distillation_kl"] = "binary_kl_norm",
        temperature: Annotated[float, Field(gt=0)] = 2.0,
        weight: Annotated[float, Field(ge=0)] = 1.0,
        head: Head = "linear",
        hidden: Annotated[int, Field(ge=1)] = 200,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        alignment: Alignment = "none",
    ) -> None:
        check_teacher(teacher, teacher_weights, teacher_epochs, teacher_lr, teacher_logits)
        for name, value, allowed in (
            ("loss", loss, tuple(_LOSSES)),
            ("head", head, get_args(Head)),
            ("alignment", alignment, get_args(Alignment)),
        ):
            if value not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
        check_at_least_zero("weight", weight)
        if hidden < 1 or not 0 <= dropout < 1:
            raise ValueError(
                f"hidden must be at least 1 and dropout in [0, 1), got {hidden!r} and {dropout!r}"
            )
        self.teacher_epochs = teacher_epochs
        self.teacher_source = teacher_source
        self.weight = weight
        self.head = head
        self.hidden = hidden
        self.dropout = dropout
        self.alignment: Alignment = alignment
        self._distillation = _LOSSES[loss](temperature)
        self._teacher = Teacher(teacher, teacher_weights, teacher_lr, teacher_logits)
        self._part: Part = "both"

    def model(self, model: nn.Module, context: Context) -> nn.Module:
        """Put the auxiliary head beside the model's own.

        Raises:
            ValueError: there is no linear classifier, the new head cannot stand beside it, or
                targets are no classes.
        """
        self._context = context
        if self.weight == 0:
            return model
        if context.facts.get("target_kind", "class") != "class":
            raise ValueError("the targets must be classes, whose logits the teacher tells")
        self._classifier, classifier = find_linear_head(model)
        if self.head == "none":
            return model
        if isinstance(model, nn.Sequential):
            raise ValueError(
                "an nn.Sequential has no output 'embedding' and would run a second head"
            )
        if hasattr(model, NAME):
            raise ValueError(f"the model has something called {NAME} already")
        self._head = auxiliary_head(classifier, self.head, self.hidden, self.dropout)
        model.add_module(NAME, self._head)
        return model

    def models(self, context: Context) -> Mapping[str, AuxModel]:
        """The teacher."""
        return {} if self.weight == 0 else self._teacher.declared(context)

    def objective(self, objective: nn.Module) -> nn.Module:
        """Leave the objective.

        Raises:
            ValueError: it couples the batch.
        """
        if self.weight > 0 and getattr(objective, "couples", "sample") == "batch":
            raise ValueError("the objective couples the batch, where no teacher can be asked")
        return objective

    def begin(self, context: Context) -> None:
        """Let the teacher find its weights."""
        if self.weight > 0:
            self._teacher.begin()

    def run(self, fit: Fit) -> None:
        """Train the teacher, if it has to learn, then the model."""
        if self.weight > 0 and self.teacher_epochs:
            with self._only("teacher"):
                fit("teacher", epochs=self.teacher_epochs, source=self.teacher_source)
        fit()

    def step(self, step: Step, take: Callable[[], None]) -> None:
        """Teach the teacher; align gradients, if asked to; otherwise an ordinary update."""
        if self._part == "teacher":
            self._teacher.learn(step)
        elif self.weight == 0 or self.alignment == "none":
            take()
        else:
            self._aligned_step(step, self.alignment)

    def _aligned_step(self, step: Step, scope: Scope) -> None:
        with self._only("task"):
            task = step.gradient(statistics=True)
        with self._only("distillation"):
            distillation = step.gradient()
        moved = task + aligned(task, distillation, scope)
        own = [n for n in task if n.startswith(f"model.{self._classifier}.")]
        shared = [n for n in task if n not in own and not n.startswith(f"model.{NAME}.")]
        self._context.log(
            {
                "backbone_cosine": cosine(task, distillation, shared),
                "head_cosine": cosine(task, distillation, own),
                "descent": moved.dot(task) / task.dot(task),
            }
        )
        step.set_gradient(moved)
        step.update()

    @contextmanager
    def _only(self, part: Part) -> Iterator[None]:
        before, self._part = self._part, part
        try:
            yield
        finally:
            self._part = before

    def loss(self, batch: Batch, compute: Compute) -> Loss:
        """The objective's loss, the distillation's, or both, whichever is being differentiated."""
        if self.weight == 0:
            return compute(batch)
        if self._part == "teacher":
            return compute(batch, self._teacher.outputs(batch))
        outputs = compute.forward(batch)
        if self._part == "task":
            return compute(batch, outputs)
        logits = self._student_logits(outputs)
        distillation = self.weight * self._distillation(logits, self._teacher.logits(batch))
        if self._part == "distillation":
            return Loss(distillation)
        return compute(batch, outputs).plus(distillation, "distillation")

    def _student_logits(self, outputs: Outputs) -> Tensor:
        if self.head == "none":
            return outputs["logits"]
        dtype = next(self._head.parameters()).dtype  # autocast does not reach evaluation
        logits: Tensor = self._head(output_of(outputs, "embedding").to(dtype))
        return logits

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float]:
        """Accuracy of the teacher and of the auxiliary head."""
        if self.weight == 0:
            return {}
        right = torch.zeros(3, dtype=torch.float64)
        # At ZeRO stage 3 workers gather the head's weights together: none may leave a pass out.
        for batch, outputs, counted in evaluation.passes():
            told = self._teacher.logits(batch), self._student_logits(outputs)
            if counted:
                same = [(logits.argmax(dim=1) == batch["target"]).sum() for logits in told]
                right += torch.tensor([*same, len(batch["target"])], dtype=torch.float64)
        teacher, head, samples = evaluation.sum(right).tolist()
        accuracies = {"teacher_accuracy": teacher / samples}
        return accuracies if self.head == "none" else {**accuracies, "aux_accuracy": head / samples}

    def export(self, model: nn.Module) -> nn.Module:
        """The model without the auxiliary head."""
        if hasattr(model, NAME):
            delattr(model, NAME)
        return model
