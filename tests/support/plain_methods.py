"""The methods of reference_methods in plain PyTorch, one process and float64."""

from __future__ import annotations

import copy

import torch
from reference_methods import (
    RATE,
    SIZE,
    STEPS,
    Bilevel,
    class_weights,
    critic,
    critic_loss,
    held,
    network,
    player_loss,
    samples,
    second_loss,
)
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss


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
