"""Multipliers, initialisation and learning rates under which wide networks train as narrow ones."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn

from trainwright.strategy import Context, Declares, ParameterGroup, Plan, Strategy
from trainwright_objectives.options import check_above_zero, check_whole
from trainwright_strategies.layers.replace import replace_modules
from trainwright_strategies.layers.scaled import ScaledConv2d, ScaledLinear, folded, scaled
from trainwright_strategies.parameterization import (
    Mode,
    Parameterization,
    Role,
    queries_of,
    refuse_undamped,
    roles_of,
)

_ADAM = ("adam", "adamw", "adamax", "nadam", "radam")


class Mup(Strategy):
    """Keep the best learning rate whatever the width: maximal update parametrization (muP).

    Multipliers, initial weights and learning rates are set so that features move equally much at
    every width (``mup``) or at every width and depth of a residual network (``depth_mup``). The
    rate that is best for a narrow network is then best for a wide one, and the sharpness along
    training is the same. ``ntp``, the neural tangent parameterization, is the contrast: features
    move less and less with the width.

    Equation:
        Every weight is drawn from N(0, 1), every bias 0. N: width, D: inputs, L: hidden layers.
        h_1 = W_0 x / sqrt(D)
        h_{l+1} = [h_l +] gain * W_l phi(h_l) / (sqrt(N) L^a)
        f = gain * W phi(h) / (gamma sqrt(N))
        gamma = gamma0 sqrt(N / base_width) in mup and depth_mup, gamma0 in ntp; a = 1/2 in
        depth_mup, else 0. SGD: rate = lr * gamma^2. Adam: rate = lr, of hidden weights
        lr * sqrt(base_width / N) / L^a. Rates of hidden biases are divided by L^(2a), that of
        the output's bias is lr. Inner layers, in front of the last one of a residual block, are
        as hidden ones without L^a (their rates and those of norms in Adam: with it).
        Of a convolution sqrt(N) is the root of channels in * kernel size. Embeddings are inputs
        without a factor. Attention scores are q k / d with the head's size d, in ntp q k / sqrt(d).

    Args:
        mode: ``mup``, ``depth_mup`` (for residual networks), ``ntp`` (SGD alone), or ``sp``,
            which leaves the model and its rates as they are.
        gamma0: output scale at the base width, above 0.
        base_width: width at which the rate is that of ``ntp``, at least 1. Suggested: 1, as in
            the paper; the width of the tuned network, to keep its rate.
        gain: factor of the activations, above 0. Suggested: sqrt(2) for ReLU, 1 for tanh and
            for transformers, whose layers stand behind norms.
        roles: pattern of names -> ``input``, ``inner``, ``hidden`` or ``output``; null: embeddings
            and the first layer are the input's, the last one the output's, the others hidden.
            Parameters outside of layers that are added as they are, for ``vit``
            ``{token: input, positions: input}``, must be declared. With ``depth_mup`` a
            transformer needs its inner layers, ``gpt`` ``{"*.qkv": inner, "*.expand": inner}``.
        keep_ratio: scale the rates that strategies before this one gave to their parameter
            groups; otherwise those are refused.

    Needs:
        A model of linear layers, two-dimensional convolutions, embeddings and norms (``mlp``,
        ``residual_mlp``, ``convnet``, ``resnet``), or a transformer whose blocks have an attribute
        ``queries`` (``gpt`` with ``tie_embeddings: false``, ``vit``); other layers and attention
        are refused, and with ``depth_mup`` batch norm. ``sgd`` or an Adam whose ``lr`` the job
        gives. Its initial weights are drawn anew. Weight decay scales with the rates. An exported
        model holds ordinary layers. Wider is a network when all its hidden widths grow alike.

    Measured:
        Forward and backward take 1.1 times as long (widths 64 to 1,024, one CPU core, processor
        time). Digits (257 images, elements standardised), squared
        error, MLP of two hidden layers, full batch, lr 1, 161 updates, 5 seeds (95 % intervals):
        the sharpness at widths 64 and 256 ends at 1.87 +- 0.12 and 1.99 +- 0.02, where 2 is the
        limit; with ``ntp`` at 0.45 +- 0.08 and 0.58 +- 0.06. Loss 0.018 and 0.010, with ``ntp``
        0.196 and 0.183. Of the rates 0.75, 3 and 8, after 40 updates 3 is best at both widths
        and with every seed. Residual networks of 2 and 16 blocks with ``depth_mup`` end at 1.95
        +- 0.04 and 2.01 +- 0.05; with ``mup`` that of 16 begins at 1,000,000 and is lost. Change
        of the features in the first step, SGD and Adam, 5 seeds: widths 128 and 1,024 within a
        factor 1.5, 2 and 32 blocks with ``depth_mup`` within 2. Sizes of all activations after
        four steps of ``gpt`` (widths 32 and 128) and ``convnet`` (16 and 64), SGD and Adam: within
        a factor 1.2 and 1.5, with ``sp`` and Adam 4.9 and 3. The best
        rate over depths, and larger data, were not measured.

    Source:
        L. Noci, A. Meterez, T. Hofmann, A. Orvieto, "Why do Learning Rates Transfer? Reconciling
        Optimization and Scaling Limits for Deep Learning", 2024, arXiv 2402.17457; rates of Adam
        after G. Yang et al., "Tensor Programs V", 2022, arXiv 2203.03466, table 8, and its
        depth after G. Yang, D. Yu, C. Zhu, S. Hayou, 2023, arXiv 2310.02244. There is no code of
        the first paper.

    Raises:
        ValueError: an option is out of range, or the model or the optimizer is none of these.
    """

    declares = Declares(neutral={"mode": "sp"})

    def __init__(
        self,
        mode: Mode = "mup",
        gamma0: Annotated[float, Field(gt=0)] = 1.0,
        base_width: Annotated[int, Field(ge=1)] = 1,
        gain: Annotated[float, Field(gt=0)] = math.sqrt(2),
        roles: Mapping[str, Role] | None = None,
        keep_ratio: bool = False,
    ) -> None:
        if mode not in ("mup", "depth_mup", "ntp", "sp"):
            raise ValueError(f"mode must be mup, depth_mup, ntp or sp, got {mode!r}")
        for name, value in (("gamma0", gamma0), ("gain", gain)):
            check_above_zero(name, value)
        check_whole("base_width", base_width)
        self.mode: Mode = mode
        self.gamma0 = gamma0
        self.base_width = base_width
        self.gain = gain
        self.roles = dict(roles or {})
        self.keep_ratio = keep_ratio
        self._rates: dict[Tensor, float] = {}

    def plan(self, plan: Plan) -> Plan:
        """Note optimizer and rate.

        Raises:
            ValueError: there is no rule for the optimizer, or the job gives no rate.
        """
        name = plan.optimizer_name.lower()
        if self.mode != "sp":
            known = ("sgd",) if self.mode == "ntp" else ("sgd", *_ADAM)
            if name not in known:
                raise ValueError(f"{self.mode} has rates for {', '.join(known)}, got {name}")
            if "lr" not in plan.optimizer:
                raise ValueError("the job must give optimizer.lr, which is scaled")
            self._lr = float(plan.optimizer["lr"])
        self._adam = name in _ADAM
        return plan

    def model(self, model: nn.Module, context: Context) -> nn.Module:
        """Put multipliers into the layers.

        Raises:
            ValueError: the model has parts without a rule, or one weight in two layers.
        """
        if self.mode == "sp":
            return model
        roles = roles_of(model, self.roles)
        if self.mode == "depth_mup":
            refuse_undamped(model, roles)
        layers = {name: part for name, part in model.named_modules() if name in roles}
        if len({layer.weight for layer in layers.values()}) < len(layers):
            raise ValueError(
                "two layers share one weight, which cannot have the scale of both (gpt: set "
                "tie_embeddings to false)"
            )
        scaling = self._scaling(layers, roles)
        self._rates = {p: scaling.rate("inner", "vector", self._adam) for p in model.parameters()}
        replacements = {layers[n]: self._scaled(layers[n], r, scaling) for n, r in roles.items()}
        for layer, (number, head_size) in queries_of(model).items():
            replacements[layer].scale_first(number, scaling.query_multiplier(head_size))
        return replace_modules(model, replacements)

    def _scaling(self, layers: Mapping[str, Any], roles: Mapping[str, Role]) -> Parameterization:
        output = next(layers[name] for name, role in roles.items() if role == "output")
        depth = sum(role == "hidden" for role in roles.values())
        width = output.weight[0].numel()
        return Parameterization(self.mode, width, depth, self.gamma0, self.base_width, self.gain)

    def _scaled(self, layer: Any, role: Role, scaling: Parameterization) -> Any:
        """The layer with its multiplier; what is looked up in an embedding needs none."""
        if isinstance(layer, nn.Embedding):
            layer.reset_parameters()  # N(0, 1)
        else:
            layer = scaled(layer, scaling.multiplier(role, layer.weight[0].numel()))
        self._rates[layer.weight] = scaling.rate(role, "weight", self._adam)
        if getattr(layer, "bias", None) is not None:
            self._rates[layer.bias] = scaling.rate(role, "vector", self._adam)
        return layer

    def parameters(self, groups: list[ParameterGroup]) -> list[ParameterGroup]:
        """One group for each rate.

        Raises:
            ValueError: a group has a rate of its own, and ``keep_ratio`` is not set.
        """
        if self.mode == "sp":
            return groups
        found: list[ParameterGroup] = []
        for group in groups:
            if "lr" in group and not self.keep_ratio:
                raise ValueError(
                    "a parameter group has a learning rate of its own: set keep_ratio to scale it"
                )
            by_rate = defaultdict(list)
            for name, parameter in group["params"]:
                by_rate[self._rates.get(parameter, 1.0)].append((name, parameter))
            base = group.get("lr", self._lr)
            found += [
                {**group, "params": named, "lr": factor * base} for factor, named in by_rate.items()
            ]
        return found

    def export(self, model: nn.Module) -> nn.Module:
        """Multiply the weights by their multipliers once and for all."""
        ours = [part for part in model.modules() if isinstance(part, (ScaledLinear, ScaledConv2d))]
        return replace_modules(model, {layer: folded(layer) for layer in ours})
