"""lottery_ticket: rewinding bit for bit, masks of trained weights, controls, refusals."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import trainwright
from trainwright.checkpoint import Checkpoint, CheckpointStore
from trainwright.job import Job
from trainwright.models.gpt import GPT
from trainwright.storage import Folder
from trainwright.strategy import Context
from trainwright.strategy.compose import apply_model
from trainwright.testing import Case, Rig, Setup
from trainwright_strategies.layers.magnitude import prune, prune_together
from trainwright_strategies.layers.mask import Mask
from trainwright_strategies.lottery_ticket import LotteryTicket


def job(folder: Path, *strategies: Mapping[str, Any], **sections: Any) -> Job:
    values = {
        "name": "ticket",
        "data": {
            "source": {"name": "synthetic_classification", "num_samples": 90, "num_features": 6},
            "batch_size": 21,
            "validation": 0.3,
        },
        "model": {"name": "mlp", "hidden": [9], "batch_norm": True},
        "objective": "cross_entropy",
        "strategies": list(strategies),
        "optimizer": {"name": "adamw", "lr": 0.02, "weight_decay": 0.3},
        "training": {"epochs": 2, "checkpoint_every": "1 step", "keep": {"last": 100}},
        "cluster": {"workers": 0},
        "tracking": {"enabled": False},
        "storage": str(folder),
        **sections,
    }
    return Job.from_dict(values)


RATES_OF = {"head": 0.2}
MASKED = [f"model.{layer}.parametrizations.weight" for layer in ("body.0", "head")]


class Moment:
    """A checkpoint of a run: weights, masks and statistics."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        def all_of(kind: str) -> dict[str, Tensor]:
            return {name: checkpoint.full(kind, name) for name in checkpoint.names(kind)}

        progress = checkpoint.state["progress"]
        self.round = int(progress["phase"].removeprefix("round_"))
        self.is_first = progress["finished"] == progress["began"]
        self.weights = all_of("param")
        buffers = all_of("buffer")
        self.masks = {f"{n}.original": buffers.pop(f"{n}.0.mask") for n in MASKED}
        self.statistics = buffers


def moments(folder: Path, optimizer: Mapping[str, Any] | None = None, **options: Any) -> Any:
    """Every checkpoint of a run with 6 updates in each of 3 rounds, in their order."""
    sections = {} if optimizer is None else {"optimizer": optimizer}
    strategy = {"name": "lottery_ticket", "rounds": 2, "rate": 0.4, "rates": RATES_OF, **options}
    result = trainwright.run(job(folder, strategy, **sections))
    return [Moment(one) for one in CheckpointStore(Folder(result.storage)).list()]


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> list[Moment]:
    return moments(tmp_path_factory.mktemp("usual"))


def begun(found: list[Moment]) -> list[Moment]:
    return [moment for moment in found if moment.is_first]


@pytest.mark.parametrize(
    "optimizer",
    [
        {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.1},
        {"name": "adam", "lr": 0.02},
        None,
    ],
    ids=["sgd", "adam", "adamw"],
)
def test_rewound_weights_are_the_first_ones_and_pruned_ones_stay_zero(
    optimizer: Mapping[str, Any] | None, usual: list[Moment], tmp_path: Path
) -> None:
    found = usual if optimizer is None else moments(tmp_path, optimizer)
    start, *rounds = begun(found)
    assert [moment.round for moment in rounds] == [1, 2]
    for moment in rounds:
        for name, weight in start.weights.items():
            wanted = weight * moment.masks[name] if name in moment.masks else weight
            assert moment.weights[name].equal(wanted), name
        assert all(moment.statistics[n].equal(b) for n, b in start.statistics.items())
    for moment in found:
        for name, mask in moment.masks.items():
            assert not bool(moment.weights[name][~mask].any()), "a pruned weight came back"
    last = found[-1]
    name, mask = next(iter(last.masks.items()))
    assert not last.weights[name][mask].equal(start.weights[name][mask]), "it trains"


def test_the_masks_are_those_of_the_trained_weights(usual: list[Moment]) -> None:
    ends = [[m for m in usual if m.round == index and not m.is_first][-1] for index in range(3)]
    for before, after in pairwise(ends):
        for name, rate in zip(before.masks, (0.4, 0.2), strict=True):
            wanted = prune(before.weights[name], before.masks[name], rate)
            assert after.masks[name].equal(wanted)
            assert int(wanted.sum()) < int(before.masks[name].sum())


def test_global_scope_and_the_official_rule(tmp_path: Path) -> None:
    found = moments(tmp_path, scope="global", rates=None, compat_official=True)
    end = [m for m in found if m.round == 0][-1]
    wanted = prune_together(end.weights, end.masks, 0.4, compat_official=True)
    after = begun(found)[1].masks
    assert all(after[name].equal(mask) for name, mask in wanted.items())
    assert sum(int((~m).sum()) for m in wanted.values()) == round(0.4 * (54 + 36)) + 1


def test_controls_differ_from_the_ticket_where_they_should(
    usual: list[Moment], tmp_path: Path
) -> None:
    def last_round(control: str) -> Moment:
        return begun(moments(tmp_path / control, control=control))[-1]

    start, ticket = begun(usual)[0], begun(usual)[-1]
    reinit, random = last_round("random_reinit"), last_round("random_mask")
    for name, mask in ticket.masks.items():
        assert reinit.masks[name].equal(mask)
        assert bool(torch.isin(reinit.weights[name][mask], start.weights[name]).all())
        assert not reinit.weights[name].equal(ticket.weights[name])
        assert int(random.masks[name].sum()) == int(mask.sum())
        assert not random.masks[name].equal(mask)
        assert random.weights[name].equal(start.weights[name] * random.masks[name])
    others = [name for name in start.weights if name not in ticket.masks]
    assert all(reinit.weights[name].equal(start.weights[name]) for name in others)


def test_new_initial_values_with_the_signs_of_the_first_ones() -> None:
    mask = Mask(torch.Size([20, 30]))
    mask.mask[::2] = False
    start = torch.randn(20, 30, generator=torch.Generator().manual_seed(0))
    found = {}
    for control in ("random_reinit", "signed_reinit"):
        method = LotteryTicket(rounds=2, control=control)
        method._context, method._start, method._masks = Context(seed=0), {"w": start}, {"w": mask}
        assert method._rewound(1)["w"].equal(start * mask.mask), "only the last round is another"
        found[control] = method._rewound(2)["w"]
    plain, signed = found.values()
    assert signed.abs().equal(plain.abs())
    assert not signed.equal(plain)
    assert signed[mask.mask].sign().equal(start[mask.mask].sign())
    assert not signed.abs()[mask.mask].equal(start.abs()[mask.mask])


def test_workers_that_share_the_weights_find_the_masks_of_one(
    two_workers: Any, tmp_path: Path
) -> None:
    case = Case("strategies", "lottery_ticket", {"rounds": 2, "rate": 0.4})
    with Rig(tmp_path, {2: two_workers}) as rig:
        one, two = (
            rig.train(case.job_with(case.options), setup, case.base).tensors
            for setup in (Setup(), Setup("deepspeed", 3, 2))
        )
    masks = [key for key in one if key[1].endswith(".mask")]
    assert len(masks) == 2
    for key in masks:
        assert two[key].equal(one[key])
        weight = ("param", key[1].replace(".0.mask", ".original"))
        assert not bool(two[weight][~one[key]].any())
        torch.testing.assert_close(two[weight], one[weight], rtol=1e-4, atol=1e-5)


def test_later_rewinding_starts_from_that_update(tmp_path: Path) -> None:
    found = moments(tmp_path, rewind_step=3)
    early = [m for m in found if m.round == 0][3]
    for moment in begun(found)[1:]:
        for name, weight in early.weights.items():
            wanted = weight * moment.masks[name] if name in moment.masks else weight
            assert moment.weights[name].equal(wanted), name


def test_no_rounds_and_the_first_round_are_ordinary_training(
    usual: list[Moment], tmp_path: Path
) -> None:
    plain = trainwright.run(job(tmp_path / "plain"))
    neutral = trainwright.run(job(tmp_path / "neutral", {"name": "lottery_ticket", "rounds": 0}))
    assert neutral.metrics == plain.metrics
    first = [m for m in usual if m.round == 0][-1]
    last = CheckpointStore(Folder(plain.storage)).list()[-1]
    for name, weight in first.weights.items():
        known = name.replace("parametrizations.weight.original", "weight")
        assert weight.equal(last.full("param", known)), name


def test_what_is_exported_has_the_zeros_and_no_masks(tmp_path: Path) -> None:
    strategy = {"name": "lottery_ticket", "rounds": 1, "rate": 0.5}
    result = trainwright.run(job(tmp_path, strategy))
    trainwright.export(result.run, storage=tmp_path, to=tmp_path / "exported")
    weights = load_file(next((tmp_path / "exported").rglob("*.safetensors")))
    assert not any("parametrizations" in name or "mask" in name for name in weights)
    weight = next(w for name, w in weights.items() if name.endswith("head.weight"))
    assert int((weight == 0).sum()) == weight.numel() // 2


def ticket(**options: Any) -> LotteryTicket:
    return LotteryTicket(**{"rounds": 1, **options})


def test_a_shared_weight_has_one_mask() -> None:
    model = GPT(20, 8, dim=12, depth=1, heads=2)
    strategy = ticket(rates={"blocks.*": 0.0})
    apply_model([strategy], model, Context(seed=0))
    strategy.parameters([{"params": list(model.named_parameters())}])
    (mask,) = strategy._masks.values()
    mask.mask[3] = False
    assert not bool(model.tokens.weight[3].any())
    assert model(torch.tensor([[5, 3]]))["logits"][..., 3].tolist() == [[0.0, 0.0]]
    folded = strategy.export(model)
    assert folded.tokens.weight is folded.head.weight
    assert not bool(folded.head.weight[3].any())


def test_a_layer_without_weights_is_refused_or_skipped(tmp_path: Path) -> None:
    options = {"scope": "global", "rates": None, "rate": 0.97}
    with pytest.raises(trainwright.RunError, match=r"would leave no weights of .* on_empty: skip"):
        moments(tmp_path, **options)
    last = moments(tmp_path, **options, on_empty="skip")[-1]
    assert all(mask.any() for mask in last.masks.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounds": -1}, "rounds must be a whole number of at least 0, got -1"),
        ({"rate": 0.0}, "rate must be above 0 and below 1, got 0.0"),
        ({"rate": 1.0}, "rate must be above 0 and below 1, got 1.0"),
        ({"rates": {"head": 1.0}}, "rates.head must be at least 0 and below 1, got 1.0"),
        ({"rates": {"head": 0.1}, "scope": "global"}, "rates.head must be 0, or scope: layer"),
        ({"rewind_step": -1}, "rewind_step must be at least 0, got -1"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ticket(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rates": {"haed": 0.1}}, "rates: 'haed' fits none of .*; nearest: head"),
        ({"rates": {"*": 0}}, "no weight of a linear or convolutional layer to prune"),
        ({"rewind_step": 6}, "must lie within a round of 6 updates, got 6"),
    ],
)
def test_options_that_do_not_fit_the_job(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(trainwright.InputError, match=message):
        trainwright.validate(job(tmp_path, {"name": "lottery_ticket", **options}))
