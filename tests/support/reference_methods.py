"""Small methods written through the public protocol alone, and each again in plain PyTorch.

The plain versions know one process, float64 and autograd; they owe nothing to the platform.
"""

from __future__ import annotations

import copy
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


class Plain:
    """The same methods in float64, one function for each, over ``(model, x, y, state)``."""

    def __init__(self) -> None:
        self.model = network().double()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=RATE, momentum=0.9)
        self.teacher = copy.deepcopy(self.model)
        self.critic = critic().double()
        self.critics = torch.optim.SGD(self.critic.parameters(), lr=RATE, momentum=0.5)
        self.weights = class_weights().double()
        self.weighers = torch.optim.SGD(self.weights.parameters(), lr=0.5)
        self.dots: list[float] = []

    def run(self, method: str) -> dict[str, Tensor]:
        xs, ys = samples()
        for index in range(STEPS):
            rows = slice(index * SIZE, (index + 1) * SIZE)
            getattr(self, method)(xs[rows].double(), ys[rows], index)
        return {f"model.{name}": p.detach() for name, p in self.model.named_parameters()}

    def _gradient(self, loss: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(loss, list(self.model.parameters()), allow_unused=True))

    def _move(self, gradients: list[Tensor]) -> None:
        for parameter, gradient in zip(self.model.parameters(), gradients, strict=True):
            parameter.grad = gradient
        self.optimizer.step()

    def _shift(self, gradients: list[Tensor], scale: float) -> None:
        with torch.no_grad():
            for parameter, gradient in zip(self.model.parameters(), gradients, strict=True):
                parameter.add_(gradient, alpha=scale)

    def sharpness_aware(self, x: Tensor, y: Tensor, index: int) -> None:
        gradients = self._gradient(cross_entropy(self.model(x), y))
        scale = 0.1 / float(torch.cat([g.flatten() for g in gradients]).norm())
        before = copy.deepcopy(self.model.state_dict())
        self._shift(gradients, scale)
        gradients = self._gradient(cross_entropy(self.model(x), y))
        self.model.load_state_dict(before)
        self._move(gradients)

    def adversarial_training(self, x: Tensor, y: Tensor, index: int) -> None:
        attacked = x
        for _ in range(2):
            leaf = attacked.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(cross_entropy(self.model(leaf), y), leaf)
            attacked = (attacked + 0.1 * gradient.sign()).clamp(x - 0.15, x + 0.15)
        self._move(self._gradient(cross_entropy(self.model(attacked), y)))

    def input_penalty(self, x: Tensor, y: Tensor, index: int) -> None:
        leaf = x.clone().requires_grad_()
        loss = cross_entropy(self.model(leaf), y)
        (gradient,) = torch.autograd.grad(loss * len(x), leaf, create_graph=True)
        self._move(self._gradient(loss + 0.5 * gradient.square().sum(1).mean()))

    def mean_teacher(self, x: Tensor, y: Tensor, index: int) -> None:
        logits = self.model(x)
        loss = cross_entropy(logits, y) + mse_loss(logits, self.teacher(x).detach())
        self._move(self._gradient(loss))
        with torch.no_grad():
            for mine, theirs in zip(
                self.teacher.parameters(), self.model.parameters(), strict=True
            ):
                mine.mul_(0.8).add_(theirs, alpha=0.2)

    def adversaries(self, x: Tensor, y: Tensor, index: int) -> None:
        fake = self.model(x).detach()
        real = nn.functional.one_hot(y, 4).double()
        self.critics.zero_grad()
        critic_loss(self.critic(real), self.critic(fake)).backward()
        self.critics.step()
        self._move(self._gradient(player_loss(self.critic(self.model(x)))))

    def bilevel(self, x: Tensor, y: Tensor, index: int) -> None:
        held_x, held_y = held()
        rows = slice(12 * (index % 2), 12 * (index % 2) + 12)

        def inner() -> Tensor:
            return (self.weights(y) * cross_entropy(self.model(x), y, reduction="none")).mean()

        before = copy.deepcopy(self.model.state_dict())
        gradients = self._gradient(inner())
        self._shift(gradients, -RATE)
        direction = self._gradient(cross_entropy(self.model(held_x[rows].double()), held_y[rows]))
        mixed = []
        for sign in (1, -1):
            self.model.load_state_dict(before)
            self._shift(direction, sign * Bilevel.EPSILON)
            mixed.append(torch.autograd.grad(inner(), self.weights.logarithm)[0])
        self.model.load_state_dict(before)
        self.weights.logarithm.grad = (mixed[0] - mixed[1]) * (-RATE / (2 * Bilevel.EPSILON))
        self.weighers.step()
        self._move(self._gradient(inner()))

    def alignment(self, x: Tensor, y: Tensor, index: int) -> None:
        first = self._gradient(cross_entropy(self.model(x), y))
        second = self._gradient(second_loss(self.model(x)))
        dot = sum(float((a * b).sum()) for a, b in zip(first, second, strict=True))
        square = sum(float(a.square().sum()) for a in first)
        self.dots.append(dot)
        factor = -dot / square if dot < 0 else 0.0
        self._move([a + 0.5 * (b + factor * a) for a, b in zip(first, second, strict=True)])

    def curvature(self, x: Tensor, y: Tensor, index: int) -> None:
        parameters = list(self.model.parameters())
        loss = cross_entropy(self.model(x), y)
        gradients = torch.autograd.grad(loss, parameters, create_graph=True)
        constant = [g.detach() for g in gradients]
        inner = sum((g * c).sum() for g, c in zip(gradients, constant, strict=True))
        products = torch.autograd.grad(inner, parameters)
        self._move([c + 0.2 * h for c, h in zip(constant, products, strict=True)])


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
