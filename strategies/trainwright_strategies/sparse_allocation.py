"""Sparse autoencoders that give each token and each feature as much as it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, get_args

import torch
from pydantic import Field
from torch import Tensor, nn

from trainwright.strategy import (
    Batch,
    Compute,
    Context,
    Declares,
    Evaluation,
    Loss,
    Outputs,
    Step,
    Strategy,
)
from trainwright_objectives.options import check_whole
from trainwright_strategies.layers.allocation import Rule, Selection, zipf_counts
from trainwright_strategies.layers.auxiliary_codes import (
    auxiliary_codes,
    auxiliary_loss,
    shortfall,
    zipf_density,
)
from trainwright_strategies.outputs import column_of

_AUX = ("none", "aux_k", "aux_zipf")


class SparseAllocation(Strategy):
    """Let features and tokens of a batch compete for a common budget: mutual and feature choice.

    A sparse autoencoder describes B tokens by k * B of its features. Token choice (TopK) gives
    each token k; mutual choice takes the largest affinities of the whole batch, so that hard
    tokens get more; feature choice gives each feature tokens by a Zipf law over the features'
    densities, so that none dies. The batch is the global one on any number of workers and
    micro-batches. Evaluation does not look at batches: it uses thresholds, running means of the
    smallest affinity that was chosen. An auxiliary loss lets features that are used too little
    explain what the others leave over.

    Equation:
        codes = mask * affinities, where the mask maximises the sum of codes with at most k * B
        ones; per row at most k (token choice), per column i at most m_i (feature choice), with
        m_i near k * B * rank_i ** -s / H. auxiliary = weight * mean((x - reconstruction) -
        decoder(z))^2, z the aux_k largest of u_i * affinity_i in a row: u_i = 1 for features that
        did not count for dead_after tokens (aux_k), or 1 - density_i / Zipf density_i (aux_zipf).

    Args:
        allocation: ``token_choice``, ``mutual_choice`` or ``feature_choice``.
        k: features per token on average, at least 1.
        zipf_exponent: s, at least 0; 0 treats all features alike. Suggested: 1.
        warmup: share of training, in [0, 1), in which ``mutual_choice`` prepares for
            ``feature_choice``; 0 for other allocations. Suggested: 0.5.
        aux: ``none``, ``aux_k`` or ``aux_zipf``.
        weight: factor of the auxiliary loss, at least 0. Suggested: 1/32.
        aux_k: features per token in it, at least 1; None for half of the length of a token.
        dead_after: tokens without use after which a feature is called dead. Suggested: as many as
            show a rare feature a few times.
        decay: of running densities and thresholds, in [0, 1).
        activity: column whose correlation with the number of features per token is evaluated.

    Needs:
        The model ``sparse_autoencoder`` or one with its outputs and its modules ``decoder`` and
        ``selection``. The objective ``mse`` with
        ``bind: {input: reconstruction, target: ...}``, or another that does not couple the batch.
        With several workers or micro-batches features are chosen in a pass before, from the
        affinities of all tokens, which every worker then holds in float32. Few tokens for many
        features (k * B below their number) leave the rarest features without any.

    Measured:
        A step takes 1.4 (mutual) and 2.6 (feature choice) times that with token choice; an
        auxiliary loss adds 0.3 to 0.5, a pass before because of several micro-batches 0.7 to 1.1
        (64 to 1024 features, 512 tokens, one CPU core, median ratio of interleaved steps). On
        ``synthetic_dictionary`` with 192 features, k 4, 600 updates, 5 seeds, normalised error
        and dead features: token choice 0.200 and 2 %; mutual choice 0.157 (paired -0.043 +-
        0.005) and 8 %; feature choice 0.234, after mutual choice 0.196, and 0 %. ``aux_k`` with
        mutual choice: 0.158 and 4 %; ``aux_zipf``: 0.153 +- 0.004 and 10 %. So do not expect an
        auxiliary loss to keep rare features alive; feature choice does.

    Source:
        K. Ayonrinde, "Adaptive Sparse Allocation with Mutual Choice & Feature Choice Sparse
        Autoencoders", 2024, arXiv 2411.02124, of which no code is known; ``aux_k`` and the
        transposed start are those of L. Gao et al., "Scaling and evaluating sparse autoencoders",
        2024, arXiv 2406.04093. Ours are: ranks by running density, the threshold in evaluation,
        and the form of ``aux_zipf``, whose limit for a Zipf density near 0 is ``aux_k``. Directions
        have length 1 by division in the forward pass, where the paper's predecessors normalise
        after each update.

    Raises:
        ValueError: an option is out of range, or the model does not fit.
    """

    declares = Declares(several_forwards=True)

    def __init__(
        self,
        allocation: Rule = "mutual_choice",
        k: Annotated[int, Field(ge=1)] = 32,
        zipf_exponent: Annotated[float, Field(ge=0)] = 1.0,
        warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        aux: Literal["none", "aux_k", "aux_zipf"] = "none",
        weight: Annotated[float, Field(ge=0)] = 1 / 32,
        aux_k: Annotated[int, Field(ge=1)] | None = None,
        dead_after: Annotated[int, Field(ge=1)] = 100_000,
        decay: Annotated[float, Field(ge=0, lt=1)] = 0.99,
        activity: str | None = None,
    ) -> None:
        if allocation not in get_args(Rule):
            raise ValueError(
                f"allocation must be one of {', '.join(get_args(Rule))}, got {allocation!r}"
            )
        if aux not in _AUX:
            raise ValueError(f"aux must be one of {', '.join(_AUX)}, got {aux!r}")
        for name, count in (("k", k), ("aux_k", aux_k or 1), ("dead_after", dead_after)):
            check_whole(name, count)
        if not (zipf_exponent >= 0 and weight >= 0):
            raise ValueError(
                "zipf_exponent and weight must be numbers of at least 0, got "
                f"{zipf_exponent!r} and {weight!r}"
            )
        if not (0 <= warmup < 1 and 0 <= decay < 1):
            raise ValueError(f"warmup and decay must lie in [0, 1), got {warmup!r} and {decay!r}")
        if warmup > 0 and allocation != "feature_choice":
            raise ValueError(f"warmup prepares for feature_choice, got allocation {allocation!r}")
        self.allocation: Rule = allocation
        self.k = k
        self.zipf_exponent = zipf_exponent
        self.warmup = warmup
        self.aux = aux
        self.weight = weight
        self.aux_k = aux_k
        self.dead_after = dead_after
        self.decay = decay
        self.activity = activity
        self._counts: dict[int, Tensor] = {}
        self._masks: dict[int, Tensor] = {}
        self._whole: tuple[Tensor, Tensor] | None = None
        self._l0: Tensor | None = None

    def model(self, model: nn.Module, context: Context) -> nn.Module:
        """Put the rule in the place of the model's selection.

        Raises:
            ValueError: the model is no sparse autoencoder, or has fewer than k features.
        """
        self._context = context
        encoder, decoder = (getattr(model, part, None) for part in ("encoder", "decoder"))
        if not (
            isinstance(encoder, nn.Linear)
            and isinstance(decoder, nn.Module)
            and hasattr(model, "selection")
        ):
            raise ValueError(
                "the model has no encoder, decoder and selection: use sparse_autoencoder"
            )
        self._num_features, self._decoder = encoder.out_features, decoder
        if self.k > self._num_features:
            raise ValueError(f"k is {self.k}, but the model has {self._num_features} features")
        self._selection = Selection(self.allocation, self._num_features, self.k)
        model.selection = self._selection
        return model

    def objective(self, objective: nn.Module) -> nn.Module:
        """Leave the objective.

        Raises:
            ValueError: it couples the batch.
        """
        if getattr(objective, "couples", "sample") == "batch":
            raise ValueError("an objective that couples the batch is computed without the model")
        return objective

    def step(self, step: Step, take: Callable[[], None]) -> None:
        """Choose features among the tokens of the global batch, where one pass does not see it."""
        if self._context.world_size == 1 and len(step.batches) == 1:
            self._prepare(len(next(iter(step.batches[0].values()))))
            take()
            return
        own = [step.forward(batch)["affinities"].detach().float() for batch in step.batches]
        together = torch.cat(own)
        ranks = self._context.gather(together.new_full((len(together), 1), self._context.rank))
        everything = self._context.gather(together)
        self._prepare(len(everything))
        mask = self._selection.choose(everything)
        mine = torch.split(mask[ranks[:, 0] == self._context.rank], [len(part) for part in own])
        self._masks = {_name(b): part for b, part in zip(step.batches, mine, strict=True)}
        self._whole = everything, mask
        take()

    def _prepare(self, num_tokens: int) -> None:
        """Tell feature choice how many tokens each feature may have."""
        self._masks, self._whole = {}, None
        warming = self._context.update < self.warmup * self._context.total_steps
        if self.allocation != "feature_choice" or warming:
            return
        ranks = self._selection.ranks()
        self._selection.counts = self._by_rank(num_tokens).to(ranks.device)[ranks]

    def _by_rank(self, num_tokens: int) -> Tensor:
        if num_tokens not in self._counts:
            self._counts[num_tokens] = zipf_counts(
                self.k * num_tokens, self._num_features, self.zipf_exponent, num_tokens
            )
        return self._counts[num_tokens]

    def updated(self, step: Step) -> None:
        """Take the batch into densities, idle times and thresholds."""
        selection = self._selection
        seen, chosen = self._whole or selection.last()
        selection.note(seen, chosen, self.decay)
        self._l0 = chosen.sum(dim=1).float()
        dead = (selection.idle >= self.dead_after).float().mean()
        self._context.log({"dead_share": dead, "l0": self._l0.mean()})

    def epoch_end(self, epoch: int) -> None:
        """Record how densities are spread, and how many features the last batch's tokens have."""
        density = self._selection.density.clamp(min=1e-8).log10()
        self._context.log_histogram("log10_density", density)
        if self._l0 is not None:  # continued at the end of an epoch, there is no batch yet
            self._context.log_histogram("l0", self._l0)

    def loss(self, batch: Batch, compute: Compute) -> Loss:
        """The objective's loss with the auxiliary one."""
        self._selection.given = self._masks.get(_name(batch))
        outputs = compute.forward(batch)
        self._selection.given = None
        loss = compute(batch, outputs)
        if self.aux == "none" or self.weight == 0:
            return loss
        return loss.plus(self.weight * self._auxiliary(outputs), self.aux)

    def _auxiliary(self, outputs: Outputs) -> Tensor:
        need = self._need().to(outputs["affinities"].device)
        k = self.aux_k or max(outputs["inputs"].shape[1] // 2, 1)
        codes = auxiliary_codes(outputs["affinities"], need, k)
        residual = outputs["inputs"] - outputs["reconstruction"]
        return auxiliary_loss(residual, self._decoder(codes), need)

    def _need(self) -> Tensor:
        """How much each feature is in need of use, in [0, 1]."""
        selection = self._selection
        if self.aux == "aux_k":
            return (selection.idle >= self.dead_after).float()
        by_rank = zipf_density(self.k, self._num_features, self.zipf_exponent)
        ranks = selection.ranks()
        return shortfall(selection.density, by_rank.to(ranks.device)[ranks])

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float]:
        """Normalised error, features per token and how they vary, features that never count."""
        sums: dict[str, Any] = {}
        for batch, outputs in evaluation.batches():
            activity = None if self.activity is None else column_of(batch, self.activity)
            for name, value in _totals(outputs, activity).items():
                sums[name] = sums.get(name, 0) + value
        return _summary({name: evaluation.sum(value) for name, value in sorted(sums.items())})


def _name(batch: Batch) -> int:
    """What tells a micro-batch apart from the others of its step."""
    return id(batch["sample_id"])


def _totals(outputs: Outputs, activity: Tensor | None) -> dict[str, Tensor]:
    """Sums over the tokens of one batch."""
    inputs, codes = outputs["inputs"].double(), outputs["codes"]
    l0 = (codes > 0).sum(dim=1).double()
    a = l0 if activity is None else activity.flatten().double()
    moments = (torch.ones_like(l0), l0, l0.square(), a, a.square(), a * l0, (l0 == 0).double())
    return {
        "error": (inputs - outputs["reconstruction"].double()).square().sum(),
        "fired": (codes > 0).sum(dim=0),
        "moments": torch.stack([moment.sum() for moment in moments]),
        "squares": inputs.square().sum(),
        "values": inputs.sum(dim=0),
    }


def _summary(sums: Mapping[str, Tensor]) -> dict[str, float]:
    n, l0, squares, a, a_squares, both, empty = (float(v) for v in sums["moments"])
    spread, a_spread = (max(s / n - (m / n) ** 2, 0.0) for s, m in ((squares, l0), (a_squares, a)))
    variance = float(sums["squares"] - sums["values"].square().sum() / n)
    shared = (spread * a_spread) ** 0.5
    return {
        "nmse": float(sums["error"]) / max(variance, 1e-300),
        "l0": l0 / n,
        "l0_std": spread**0.5,
        "l0_correlation": (both / n - l0 / n * a / n) / shared if shared > 0 else 0.0,
        "unused_share": float((sums["fired"] == 0).double().mean()),
        "empty_share": empty / n,
    }
