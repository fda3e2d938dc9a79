"""Lottery tickets: prune the smallest trained weights, rewind the others, train again."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from trainwright.strategy import Context, Declares, Fit, ParameterGroup, Step, Strategy
from trainwright.suggest import one_of
from trainwright_strategies.layers.magnitude import prune, prune_together
from trainwright_strategies.layers.mask import Mask, add_masks, fold_masks, is_linear_map
from trainwright_strategies.patterns import check_patterns

Control = Literal["random_reinit", "signed_reinit", "random_mask"]


class LotteryTicket(Strategy):
    """Prune by magnitude in rounds, rewinding to the initial weights: lottery tickets.

    Each round is a whole training as the job says, with a fresh optimizer and schedule. After
    it, the smallest of the weights that are left become zeros for good, and everything else
    starts again from its initial value. What the last round trains is the ticket: few weights
    of a large network, with the values that they had in it from the start.

    Equation:
        w = mask * theta in every pass, so that a pruned weight is 0 and has no gradient.
        After a round, in each layer, the ``round(rate * left)`` weights of smallest ``|theta|``
        among those left leave the mask; then theta = theta_0. With r rounds about
        ``(1 - rate)^r`` of the weights are left.

    Args:
        rounds: how many times is pruned, at least 0; training takes ``rounds + 1`` times as long.
            0 trains once, without masks. With 1 pruning is called one-shot. Suggested: 7 to 12
            at the usual rate, which leave 21 and 7 %.
        rate: share of a layer's remaining weights that a round prunes, in (0, 1). Suggested: 0.2.
        rates: other rates by name of the layer, or pattern with ``*`` of such names, the first
            that fits; 0 leaves a layer whole. Suggested: half the rate for the output layer,
            ``{head: 0.1}``.
        scope: ``layer`` prunes each layer by its rate; ``global`` the smallest weights of all
            layers together, which the paper does in deep networks.
        rewind_step: update of the first round whose weights the later rounds start from; 0 is
            the initialisation. Later ones, a few hundred, are what large networks need.
        control: trains something else in the last round, to see what the ticket owes to what:
            ``random_reinit`` has the ticket's mask and other initial values, each drawn from
            those of its layer; ``signed_reinit`` those, with the signs of the initial ones;
            ``random_mask`` the ticket's initial values and another mask with as many weights in
            each layer.
        on_empty: what happens to a layer that would have no weights left: ``raise``, or ``skip``
            its pruning in this round; how many were skipped is recorded.
        compat_official: prune one weight more each time, as the authors' code does.

    Needs:
        Linear or convolutional layers; their biases and all other parameters are not pruned.
        Memory for two more copies of the weights on every worker, one of them in checkpoints.
        Time for all rounds; the masks save none. With usual, high learning rates deep networks
        have no tickets unless the rate is warmed up or ``rewind_step`` is above 0. Later rounds
        see the samples in other orders than the first. Running statistics begin anew.

    Measured:
        A step with masks takes 1.14 times that without on an MLP 64-300-100-10 and 1.07 times on a
        small convnet (one CPU core, batch 60, interleaved steps, median ratio). Digits, that MLP,
        rounds of 200 updates, 5 seeds, validation accuracy after 50 and 200 updates of the last
        round: whole network .892 and .954; ticket of 20 % of the weights .930 and .949, with
        ``random_reinit`` .654 and .924, with ``random_mask`` .675 and .915; ticket of 7.7 % .879
        and .941, with ``random_reinit`` .324 and .888, with ``signed_reinit`` .850 and .941, with
        ``random_mask`` .184 and .816 (standard deviations .004 to .063). Tickets learn faster;
        none ended higher; what they owe to their initial weights are mostly signs.

    Source:
        J. Frankle, M. Carbin, "The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural
        Networks", ICLR 2019, arXiv 1803.03635; ``rewind_step`` is from J. Frankle, G. K.
        Dziugaite, D. M. Roy, M. Carbin, "Linear Mode Connectivity and the Lottery Ticket
        Hypothesis", 2020, arXiv 1912.05671, with training of full length after it. The number
        of pruned weights is the paper's; ``random_reinit`` draws as the authors' code does;
        ``signed_reinit`` changes signs of drawn values, where that code draws among those of
        the sign. That signs matter is from H. Zhou, J. Lan, R. Liu, J. Yosinski,
        "Deconstructing Lottery Tickets", 2019, arXiv 1905.01067.

    Raises:
        ValueError: an option is out of range, fits no layer, or empties one.
    """

    declares = Declares(neutral={"rounds": 0})

    def __init__(
        self,
        rounds: Annotated[int, Field(ge=0)] = 7,
        rate: Annotated[float, Field(gt=0, lt=1)] = 0.2,
        rates: Mapping[str, Annotated[float, Field(ge=0, lt=1)]] | None = None,
        scope: Literal["layer", "global"] = "layer",
        rewind_step: Annotated[int, Field(ge=0)] = 0,
        control: Control | None = None,
        on_empty: Literal["raise", "skip"] = "raise",
        compat_official: bool = False,
    ) -> None:
        _refuse("rounds", rounds, "a whole number of at least 0", rounds >= 0)
        _refuse("rate", rate, "above 0 and below 1", 0 < rate < 1)
        for pattern, value in (rates or {}).items():
            _refuse(f"rates.{pattern}", value, "at least 0 and below 1", 0 <= value < 1)
            if scope == "global":
                _refuse(f"rates.{pattern}", value, "0, or scope: layer", value == 0)
        _refuse("rewind_step", rewind_step, "at least 0", rewind_step >= 0)
        self.rounds = rounds
        self.rate = rate
        self.rates = dict(rates or {})
        self.scope = scope
        self.rewind_step = rewind_step
        self.control = control
        self.on_empty = on_empty
        self.compat_official = compat_official
        self._masks: dict[str, Mask] = {}
        self._start: dict[str, Tensor] = {}
        self._statistics: dict[str, Tensor] = {}
        self._num_pruned = 0
        self._num_skipped = 0

    def model(self, model: nn.Module, context: Context) -> nn.Module:
        """Put masks on the weights that are pruned."""
        if self.rounds == 0:
            return model
        steps = context.total_steps
        if steps and self.rewind_step >= steps:
            raise ValueError(
                f"rewind_step must lie within a round of {steps} updates, got {self.rewind_step}"
            )
        layers = [name for name, layer in model.named_modules() if is_linear_map(layer)]
        check_patterns("rates", self.rates, layers)
        self._layers = add_masks(model, lambda name, layer: name in layers and self._rate(name) > 0)
        if not self._layers:
            raise ValueError("the model has no weight of a linear or convolutional layer to prune")
        self._model = model
        return model

    def _rate(self, layer: str) -> float:
        fitting = (rate for name, rate in self.rates.items() if fnmatchcase(layer, name))
        return next(fitting, self.rate)

    def parameters(self, groups: list[ParameterGroup]) -> list[ParameterGroup]:
        """Learn the names by which the weights are known; the groups stay."""
        if self.rounds == 0:
            return groups
        modules = dict(self._model.named_modules())
        named = {id(weight): name for group in groups for name, weight in group["params"]}
        weights = {layer: modules[layer].parametrizations.weight.original for layer in self._layers}
        names = {layer: named[id(weight)] for layer, weight in weights.items()}
        self._masks = {names[layer]: mask for layer, mask in self._layers.items()}
        self._rate_of = {names[layer]: self._rate(layer) for layer in self._layers}
        return groups

    def begin(self, context: Context) -> None:
        """Keep the running statistics of the beginning."""
        self._context = context
        if self.rounds and not self._start:
            self._statistics = {n: b.detach().cpu().clone() for n, b in self._buffers().items()}

    def _buffers(self) -> dict[str, Tensor]:
        masks = {id(mask.mask) for mask in self._masks.values()}
        return {n: b for n, b in self._model.named_buffers() if id(b) not in masks}

    def run(self, fit: Fit) -> None:
        """Train, prune and rewind, in rounds."""
        if self.rounds == 0:
            fit()
            return
        if not self._start:
            self._start = fit.weights()
        fit("round_0")
        for index in range(1, self.rounds + 1):
            # A run that is resumed comes by here again, with masks that have their zeros.
            if index > self._num_pruned:
                self._prune(fit.weights())
                if self.control == "random_mask" and index == self.rounds:
                    self._shuffle_masks()
                self._num_pruned = index
            fit(f"round_{index}", weights=self._rewound(index))

    def _prune(self, weights: Mapping[str, Tensor]) -> None:
        """Take the smallest weights out of the masks."""
        masks = {name: mask.mask.cpu() for name, mask in self._masks.items()}
        compat = self.compat_official
        if self.scope == "global":
            pruned = prune_together(weights, masks, self.rate, compat_official=compat)
        else:
            pruned = {
                name: prune(weights[name], mask, self._rate_of[name], compat_official=compat)
                for name, mask in masks.items()
            }
        empty = [name for name, mask in pruned.items() if not mask.any()]
        if empty and self.on_empty == "raise":
            raise ValueError(
                f"round {self._num_pruned + 1} would leave no weights of {one_of(empty)}: prune "
                "fewer rounds, give the layer a lower rate in rates, or set on_empty: skip"
            )
        self._num_skipped += len(empty)
        for name in pruned.keys() - set(empty):
            self._masks[name].mask.copy_(pruned[name])

    def _shuffle_masks(self) -> None:
        for name, mask in self._masks.items():
            order = torch.randperm(mask.mask.numel(), generator=self._random(name))
            mask.mask.copy_(mask.mask.cpu().flatten()[order].view(mask.mask.shape))

    def _rewound(self, index: int) -> dict[str, Tensor]:
        """The weights that a round starts from, zero where the masks are."""
        found = dict(self._start)
        for name, mask in self._masks.items():
            value = found[name]
            if self.control in ("random_reinit", "signed_reinit") and index == self.rounds:
                places = torch.randint(value.numel(), value.shape, generator=self._random(name))
                drawn = value.flatten()[places]
                value = drawn if self.control == "random_reinit" else drawn.abs().copysign(value)
            found[name] = value * mask.mask.cpu()
        return found

    def _random(self, name: str) -> torch.Generator:
        return self._context.rng(f"lottery_ticket/{name}")

    def phase_begin(self, phase: str) -> None:
        """Begin running statistics anew, and record how much is left."""
        if self.rounds == 0:
            return
        for name, buffer in self._buffers().items():
            buffer.copy_(self._statistics[name])
        left = sum(mask.num_left for mask in self._masks.values())
        every = sum(mask.mask.numel() for mask in self._masks.values())
        skipped = float(self._num_skipped)
        self._context.log({"kept_share": left / every, "skipped_layers": skipped})

    def updated(self, step: Step) -> None:
        """Keep the weights that later rounds start from, if it is not those at the start."""
        if self.rounds and step.index + 1 == self.rewind_step:
            self._start = {n: w.detach().to("cpu", copy=True) for n, w in step.master().items()}

    def export(self, model: nn.Module) -> nn.Module:
        """The model with zeros in its weights, and without masks."""
        return fold_masks(model)

    def state_dict(self) -> dict[str, Any]:
        """Where rounds start from, and how many times was pruned; the masks are buffers."""
        return {
            "start": dict(self._start),
            "statistics": dict(self._statistics),
            "num_pruned": self._num_pruned,
            "num_skipped": self._num_skipped,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back ``state_dict``."""
        self._start, self._statistics = dict(state["start"]), dict(state["statistics"])
        self._num_pruned = int(state["num_pruned"])
        self._num_skipped = int(state["num_skipped"])


def _refuse(name: str, value: object, allowed: str, holds: bool) -> None:
    if not holds:
        raise ValueError(f"{name} must be {allowed}, got {value!r}")
