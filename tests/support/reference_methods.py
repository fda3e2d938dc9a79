"""Small methods written through the public protocol alone, and each again in plain PyTorch.

The plain versions know one process, float64 and autograd; they owe nothing to the platform.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from trainwright.strategy import AuxModel, Batch, Compute, Declares, Loss, Strategy, Stream

STEPS, SIZE, RATE = 5, 20, 0.05

Forward = Callable[[Tensor], Tensor]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(8, 13), nn.Tanh(), nn.Linear(13, 9), nn.Softplus(), nn.Linear(9, 4)
    )


def samples(seed: int = 1, count: int = STEPS * SIZE) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(count, 8, generator=generator),
        torch.randint(0, 4, (count,), generator=generator),
    )


def critic() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1))


def class_weights() -> nn.Module:
    """One learnable logarithmic weight for each class."""

    class Weights(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.logarithm = nn.Parameter(torch.linspace(-0.2, 0.2, 4))

        def forward(self, target: Tensor) -> Tensor:
            return self.logarithm.exp()[target]

    return Weights()


class SharpnessAware(Strategy):
    """SAM: the gradient at the worst point nearby (Foret et al. 2021)."""

    def step(self, step: Any, take: Any) -> None:
        gradient = step.gradient()
        step.perturb(gradient, 0.1 / float(gradient.norm()))
        step.backward()
        step.restore()
        step.update()


class AdversarialTraining(Strategy):
    """PGD with sign steps inside an infinity ball (Madry et al. 2018)."""

    def loss(self, batch: Batch, compute: Compute) -> Loss:
        clean, attacked = batch["x"], batch["x"]
        for _ in range(2):
            gradient = compute.input_gradient({**batch, "x": attacked}, ["x"])["x"]
            attacked = (attacked + 0.1 * gradient.sign()).clamp(clean - 0.15, clean + 0.15)
        return compute({**batch, "x": attacked.detach()})


class InputPenalty(Strategy):
    """The squared norm of the loss's gradient by the input (Drucker and LeCun 1992)."""

    declares = Declares(second_backward=True, zero_stages=(0, 1, 2))

    def loss(self, batch: Batch, compute: Compute) -> Loss:
        x = batch["x"].detach().requires_grad_()
        loss = compute({**batch, "x": x})
        (gradient,) = torch.autograd.grad(loss.value * len(x), x, create_graph=True)
        return loss.plus(0.5 * gradient.square().sum(1).mean(), "penalty")


class MeanTeacher(Strategy):
    """Consistency with an average of the weights (Tarvainen and Valpola 2017)."""

    def models(self, context: Any) -> Mapping[str, AuxModel]:
        return {"teacher": AuxModel(ema_of="model", decay=0.8)}

    def begin(self, context: Any) -> None:
        self.context = context

    def loss(self, batch: Batch, compute: Compute) -> Loss:
        outputs = compute.forward(batch)
        taught = self.context.models["teacher"](batch)["logits"]
        return compute(batch, outputs).plus(mse_loss(outputs["logits"], taught), "consistency")


class Adversaries(Strategy):
    """A two-player step: the model's outputs shall look like one-hot targets to a critic."""

    def models(self, context: Any) -> Mapping[str, AuxModel]:
        module = critic()
        optimizer = torch.optim.SGD(module.parameters(), lr=RATE, momentum=0.5)
        spec = AuxModel(
            module=module, trainable=True, optimizer=optimizer, inputs={"input": "logits"}
        )
        return {"critic": spec}

    def begin(self, context: Any) -> None:
        self.critic = context.models["critic"]

    def step(self, step: Any, take: Any) -> None:
        def judged(logits: Tensor) -> Tensor:
            return self.critic({"logits": logits})["logits"]

        def critics(batch: Batch) -> Tensor:
            fake = step.forward(batch)["logits"].detach()
            real = nn.functional.one_hot(batch["target"], 4).to(fake)
            return critic_loss(judged(real), judged(fake))

        def models(batch: Batch) -> Tensor:
            return player_loss(judged(step.forward(batch)["logits"]))

        step.set_gradient(step.gradient(critics, of="critic"), of="critic")
        step.update("critic")
        step.set_gradient(step.gradient(models))
        step.update()


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    wanted = torch.cat([torch.ones_like(real), torch.zeros_like(fake)])
    return binary_cross_entropy_with_logits(torch.cat([real, fake]), wanted)


def player_loss(fake: Tensor) -> Tensor:
    return binary_cross_entropy_with_logits(fake, torch.ones_like(fake))


class Bilevel(Strategy):
    """Class weights that lower a second stream's loss after one unrolled step (as DARTS does)."""

    EPSILON = 0.02

    def streams(self) -> Mapping[str, Stream]:
        return {"outer": Stream(source="held", batch_size=12, shuffle=False)}

    def models(self, context: Any) -> Mapping[str, AuxModel]:
        module = class_weights()
        optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
        return {"weights": AuxModel(module=module, trainable=True, optimizer=optimizer)}

    def begin(self, context: Any) -> None:
        self.weights = context.models["weights"]

    def step(self, step: Any, take: Any) -> None:
        def inner(batch: Batch) -> Tensor:
            each = cross_entropy(step.forward(batch)["logits"], batch["target"], reduction="none")
            return (self.weights(batch)["logits"] * each).mean()

        def outer(batch: Batch) -> Tensor:
            return cross_entropy(step.forward(batch)["logits"], batch["target"])

        gradient = step.gradient(inner)
        step.perturb(gradient, -RATE)
        direction = step.gradient(outer, batches=[step.next("outer")])
        step.restore()
        mixed = []
        for sign in (1, -1):
            step.perturb(direction, sign * self.EPSILON)
            mixed.append(step.gradient(inner, of="weights"))
            step.restore()
        step.set_gradient((mixed[0] - mixed[1]) * (-RATE / (2 * self.EPSILON)), of="weights")
        step.update("weights")
        step.set_gradient(step.gradient(inner))
        step.update()


class Alignment(Strategy):
    """Two losses; where their gradients disagree one is projected (PCGrad, Yu et al. 2020)."""

    def begin(self, context: Any) -> None:
        self.context = context

    def step(self, step: Any, take: Any) -> None:
        first = step.gradient()
        second = step.gradient(lambda batch: second_loss(step.forward(batch)["logits"]))
        dot = first.dot(second)
        self.context.log({"dot": dot})
        if dot < 0:
            second = second.axpy(-dot / first.dot(first), first)
        step.set_gradient(first + 0.5 * second)
        step.update()


def second_loss(logits: Tensor) -> Tensor:
    return -logits.square().mean() - logits[:, 0].mean()


class Curvature(Strategy):
    """Measures the Hessian along the gradient, and moves against both."""

    declares = Declares(second_backward=True, zero_stages=(0, 1, 2))

    def step(self, step: Any, take: Any) -> None:
        gradient = step.gradient()
        step.set_gradient(gradient.axpy(0.2, step.hvp(gradient)))
        step.update()


def held() -> tuple[Tensor, Tensor]:
    return samples(seed=2, count=24)


METHODS: dict[str, type[Strategy]] = {
    "sharpness_aware": SharpnessAware,
    "adversarial_training": AdversarialTraining,
    "input_penalty": InputPenalty,
    "mean_teacher": MeanTeacher,
    "adversaries": Adversaries,
    "bilevel": Bilevel,
    "alignment": Alignment,
    "curvature": Curvature,
}
