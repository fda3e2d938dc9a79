from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainwright.job import Job
from trainwright.job.identity import canonical, essentials, run_name

BASE: dict[str, Any] = {
    "name": "digits",
    "seed": 1,
    "data": {"source": "digits", "batch_size": 64, "validation": 0.2},
    "model": {"name": "resnet", "depth": 14},
    "objective": {"name": "z_loss", "a": 2.0},
    "strategies": [{"name": "multi_sample_dropout", "num_samples": 4}, "early_stopping"],
    "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9},
    "schedule": {"name": "cosine", "warmup": 0.1},
    "training": {"epochs": 3, "max_grad_norm": 1.0},
    "metrics": ["accuracy"],
}


def name(
    values: dict[str, Any], fingerprint: str = "f", files: dict[str, bytes] | None = None
) -> str:
    return run_name(Job.from_dict(values), data_fingerprint=fingerprint, plugin_files=files or {})


def changed(**sections: Any) -> dict[str, Any]:
    return {**copy.deepcopy(BASE), **sections}


def inner(section: str, **values: Any) -> dict[str, Any]:
    return changed(**{section: {**BASE[section], **values}})


def test_a_name_is_the_label_and_eight_digits():
    assert re.fullmatch(r"digits-[0-9a-f]{8}", name(BASE))


def test_the_name_does_not_depend_on_the_process_or_release():
    # A change of this value gives every run of every user a new name.
    assert name(BASE) == "digits-fc36b36e"


SAME = [
    changed(version=1, kind="train"),
    changed(cluster={"workers": 4, "cpus_per_worker": 0.5, "address": "auto"}),
    changed(storage="s3://elsewhere"),
    changed(tracking={"experiment": "other", "enabled": False}),
    inner("training", keep={"last": 9}),
    inner("training", record_samples=True),
    inner("training", checkpoint_every="7 steps"),
    inner("training", precision="fp32"),
    inner("training", evaluate_every="1 epochs"),
    inner("data", shuffle=True, format="auto"),
    inner("data", validation={"fraction": 0.2}),
    inner("data", validation={"fraction": 0.2, "seed": 0}),
    inner("data", source={"name": "digits"}),
    inner("objective", a=2),
    inner("objective", weight=1, b=0.0),
    inner("objective", bind={}),
    inner("objective", reduction="mean"),
    changed(objective={"name": "z_loss", "options": {"a": 2.0}}),
    changed(objective=[BASE["objective"]]),
    changed(strategies=[BASE["strategies"][0], {"name": "early_stopping"}]),
    inner("model", width=16),
    inner("optimizer", weight_decay=0),
    inner("optimizer", nesterov=False),
    changed(metrics=[{"name": "accuracy"}]),
    changed(engine="auto", deepspeed={}),
    {key: BASE[key] for key in reversed(BASE)},
]


@pytest.mark.parametrize("values", SAME, ids=range(len(SAME)))
def test_what_changes_no_number_keeps_the_name(values):
    assert name(values) == name(BASE)


DIFFERENT = [
    changed(seed=2),
    inner("data", batch_size=32),
    inner("data", shuffle=False),
    inner("data", validation=0.3),
    inner("data", validation={"fraction": 0.2, "seed": 1}),
    inner("data", test={"fraction": 0.1}),
    inner("data", transforms=["standardize"]),
    inner("data", source="wine"),
    inner("model", depth=8),
    inner("model", inputs={"x": "image"}),
    inner("objective", a=2.5),
    inner("objective", weight=2),
    inner("objective", bind={"target": "label"}),
    changed(objective=[BASE["objective"], "mse"]),
    changed(strategies=BASE["strategies"][:1]),
    changed(strategies=BASE["strategies"][::-1]),
    inner("optimizer", lr=0.2),
    inner("schedule", warmup=0.2),
    inner("training", epochs=4),
    inner("training", precision="bf16"),
    inner("training", micro_batch_size=8),
    inner("training", evaluate_every="2 epochs"),
    inner("training", monitor="validation/accuracy"),
    inner("training", deterministic=True),
    changed(metrics=["accuracy", "f1"]),
    changed(engine="deepspeed"),
    changed(deepspeed={"zero_optimization": {"stage": 3}}),
]


@pytest.mark.parametrize("values", DIFFERENT, ids=range(len(DIFFERENT)))
def test_what_changes_numbers_changes_the_name(values):
    assert name(values) != name(BASE)


def test_names_of_different_jobs_differ_from_one_another():
    names = [name(values) for values in DIFFERENT]
    assert len(set(names)) == len(names)


def test_the_label_is_no_part_of_the_hash():
    assert name(changed(name="other")).removeprefix("other-") == name(BASE).removeprefix("digits-")


def test_data_and_plugin_files_count_by_content():
    files = {"losses.py": b"x = 1\n", "more/parts.py": b""}
    assert name(BASE, "g") != name(BASE)
    assert name(BASE, files=files) != name(BASE)
    assert name(BASE, files=dict(reversed(files.items()))) == name(BASE, files=files)
    assert name(BASE, files={**files, "losses.py": b"x = 2\n"}) != name(BASE, files=files)
    assert name(BASE, files={"other.py": b"x = 1\n"}) != name(BASE, files={"losses.py": b"x = 1\n"})


def test_for_files_the_fingerprint_stands_and_not_the_path():
    columns = {"x": {"type": "vector", "from": ["a.csv", "b"]}, "target": {"type": "class"}}

    def files(source: str, **more: Any) -> dict[str, Any]:
        data = {"source": source, "columns": columns, **more}
        return changed(data=data, metrics=[])

    assert name(files("/here/a.csv")) == name(files("s3://there/b.csv"))
    held = {"validation": {"source": "/here/v.csv"}}
    assert name(files("a.csv", **held)) == name(files("a.csv", validation={"source": "w.csv"}))
    assert name(files("a.csv", **held)) != name(files("a.csv"))
    other = {**columns, "x": {"type": "vector", "from": ["c.csv", "b"]}}
    assert name(files("a.csv", columns=other)) != name(files("a.csv"))


def test_the_default_optimizer_written_out_is_the_default():
    without = {key: value for key, value in BASE.items() if key != "optimizer"}
    assert name({**without, "optimizer": {"name": "adamw", "lr": 0.001}}) == name(without)
    assert name({**without, "optimizer": "adamw"}) == name(without)
    assert name({**without, "optimizer": "adam"}) != name(without)


def test_extends_overrides_and_comments_do_not_count(tmp_path):
    (tmp_path / "base.yaml").write_text("name: x\ndata: {source: digits}\nmodel: mlp\nseed: 5\n")
    (tmp_path / "a.yaml").write_text("extends: base.yaml\nobjective: mse  # the usual\n")
    (tmp_path / "b.yaml").write_text(
        "objective:\n  name: mse\nseed: 4\nmodel: {name: mlp}\ndata:\n  source: digits\nname: x\n"
    )
    first = Job.load(tmp_path / "a.yaml")
    second = Job.load(tmp_path / "b.yaml", ["seed=5"])
    assert essentials(first) == essentials(second)


def test_a_plugin_that_is_not_there_has_a_name_too():
    assert name(changed(model={"name": "nowhere.Net", "depth": 3}))


def test_constructor_defaults_that_are_no_plain_values_do_no_harm(tmp_path):
    (tmp_path / "nets.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Linear):\n"
        "    def __init__(self, act: type = nn.ReLU, width: int = 3) -> None:\n"
        "        super().__init__(1, 1)\n"
    )
    job = Job.from_dict(changed(model={"name": "nets.py:Net", "width": 3}), tmp_path)
    assert essentials(job)["model"] == {"name": "nets.py:Net"}


# Properties over jobs of any shape

numbers = st.one_of(st.integers(-5, 5), st.floats(-5, 5, allow_nan=False).filter(bool))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.text("abé1 ", max_size=3)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(values)
@quick
def test_canonical_text_reads_back_as_the_same_value(value):
    import json

    assert canonical(json.loads(canonical(value))) == canonical(value)


@given(values, st.randoms())
@quick
def test_canonical_text_does_not_know_order_and_spelling(value, random):
    assert canonical(_shuffled(value, random)) == canonical(value)


def _shuffled(value: Any, random: Any) -> Any:
    if isinstance(value, dict):
        items = [(key, _shuffled(item, random)) for key, item in value.items()]
        random.shuffle(items)
        return dict(items)
    if isinstance(value, list):
        return tuple(_shuffled(item, random) for item in value)
    return float(value) if type(value) is int and random.random() < 0.5 else value


options = st.dictionaries(st.from_regex(r"opt_[a-z]{1,4}", fullmatch=True), values, max_size=3)


@given(options, options)
@quick
def test_equal_options_and_only_they_give_equal_names(first, second):
    one = name(changed(model={"name": "nowhere.Net", **first}))
    two = name(changed(model={"name": "nowhere.Net", **second}))
    assert (one == two) == (canonical(first) == canonical(second))


@given(st.dictionaries(st.sampled_from(["storage", "cluster", "tracking"]), st.integers(1, 4)))
@quick
def test_the_place_of_a_run_never_counts(places):
    forms = {
        "storage": lambda n: f"s3://bucket/{n}",
        "cluster": lambda n: {"workers": n},
        "tracking": lambda n: {"experiment": str(n)},
    }
    sections = {key: forms[key](n) for key, n in places.items()}
    assert name(changed(**sections)) == name(BASE)
