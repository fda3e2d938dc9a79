"""The data behind `trainwright list` and `trainwright show`."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml

from trainwright.errors import PluginError
from trainwright.job.models import TrainJob
from trainwright.models.resnet import ResNet
from trainwright.plugins import GROUPS, check_options, find, short_names
from trainwright.plugins.catalogue import card, documentation, listing
from trainwright.plugins.docstring import Docstring


def test_listing_has_every_short_name_once():
    entries = listing()
    names = [(entry.group, entry.name) for entry in entries]
    assert len(set(names)) == len(names)
    assert {entry.group for entry in entries} == set(GROUPS)
    assert [entry.name for entry in listing("optimizers")] == short_names("optimizers")


def test_every_entry_says_what_it_is_for():
    for entry in listing():
        assert entry.error is None, entry
        assert entry.purpose, entry
        assert "\n" not in entry.purpose
        assert "`" not in entry.purpose


def test_listing_and_card_agree():
    entries = {(entry.group, entry.name): entry for entry in listing()}
    for group, name in [
        ("objectives", "z_loss"),
        ("objectives", "mse"),
        ("optimizers", "adamw"),
        ("metrics", "f1"),
        ("schedules", "cosine"),
        ("datasets", "digits"),
    ]:
        page = card(name, group)
        assert page.purpose == entries[group, name].purpose
        assert page.origin == entries[group, name].origin


def test_listing_tells_paper_and_card_of_own_plugins():
    entries = {(entry.group, entry.name): entry for entry in listing()}
    found = entries["objectives", "z_loss"]
    assert found.paper == "1604.08859"
    page = Docstring.parse(card("z_loss", "objectives").text)
    assert found.card == page.sections
    assert {"Equation", "Args", "Needs", "Measured", "Source"} <= set(found.card)
    assert entries["optimizers", "adamw"].paper is None
    for (group, name), entry in entries.items():
        if "arxiv" in entry.card.get("Source", "").lower():
            assert entry.paper, (group, name)
        if entry.origin.startswith("trainwright"):
            assert entry.card, f"{group} {name} has a purpose and nothing else"
        if entry.origin.startswith(("trainwright_objectives", "trainwright_strategies")):
            assert {"Measured", "Source"} <= set(entry.card), (group, name)


def test_the_card_has_what_the_constructor_says_as_the_page_has():
    (found,) = (entry for entry in listing("models") if entry.name == "resnet")
    assert found.card == documentation(ResNet).sections
    assert {"Args", "Raises", "Source"} <= set(found.card)


@pytest.mark.parametrize(
    ("source", "paper"),
    [
        ("A. Author, arXiv 2101.01234, 2021.", "2101.01234"),
        ("A. Author, arXiv:\n    0704.0001v2.", "0704.0001"),
        ("arXiv cs/0309136", "cs/0309136"),
        ("A. Author, 2021. https://arxiv.org/abs/2101.01234", "2101.01234"),
        ("A. Author, JMLR 3, 2003.", None),
    ],
)
def test_the_paper_is_the_first_arxiv_number_of_the_source(source, paper):
    assert Docstring.parse(f"Does it.\n\nSource:\n    {source}\n").paper == paper
    assert Docstring.parse(f"Does it, as arXiv 2101.01234.\n\n{source}\n").paper is None


def test_broken_plugin_stands_in_the_list_with_its_cause(distribution):
    distribution(
        "brokenmodel",
        {
            "brokenmodel": "import nothing_of_this_name\n",
            "goodmodel": "class Net:\n '''A net.'''\n",
        },
        {"models": {"broken": "brokenmodel:Net", "good": "goodmodel:Net"}},
    )
    found = {entry.name: entry for entry in listing("models")}
    assert "nothing_of_this_name" in found["broken"].error
    assert "brokenmodel.py:1" in found["broken"].error
    assert found["good"].purpose == "A net."
    assert found["mlp"].error is None


def test_unknown_group():
    with pytest.raises(PluginError) as raised:
        listing("metric")
    assert raised.value.problems[0].nearest == "metrics"


def test_card_of_an_objective():
    page = card("cross_entropy")
    assert page.group == "objectives"
    assert page.origin == "torch.nn"
    assert page.implementation == "torch.nn.modules.loss.CrossEntropyLoss"
    assert page.aliases == ("CrossEntropyLoss",)
    assert page.needs == ("input", "target")
    options = {option.name: option for option in page.options}
    assert options["label_smoothing"].range == ">= 0 and <= 1"
    assert options["label_smoothing"].default == 0.0
    assert "each class" in options["class_weights"].description
    assert not options["reduction"].required
    assert page.text.startswith("This criterion computes")


def test_card_of_a_plugin_beside_the_job(job):
    job(
        "own.py",
        '''
        from typing import Annotated, Literal
        from pydantic import Field
        from torch import nn

        class Own(nn.Module):
            """Pulls things together.

            More about it.

            Args:
                force: how hard to pull,
                    in newtons.
                mode: which way.

            Source:
                A. Author, The paper, 2020.
            """

            def __init__(
                self,
                force: Annotated[float, Field(gt=0)],
                mode: Literal["in", "out"] = "in",
                num_classes: int = 2,
            ) -> None:
                super().__init__()

            def forward(self, embedding, target, weight=None):
                return embedding.sum()
        ''',
    )
    page = card("own.py:Own", "objectives", job.base)
    assert page.purpose == "Pulls things together."
    assert page.source == "A. Author, The paper, 2020."
    assert (page.needs, page.takes) == (("embedding", "target"), ("weight",))
    force, mode, num_classes = page.options
    assert (force.required, force.range, force.default) == (True, "> 0", None)
    assert force.description == "how hard to pull, in newtons."
    assert (mode.type, mode.default) == ("one of in, out", "in")
    assert num_classes.derived
    assert page.example == ('objective: {name: own.py:Own, force: "<number > 0>", mode: in}')


def test_card_of_a_strategy_shows_its_declarations():
    page = card("ghost_batch_norm")
    assert page.group == "strategies"
    assert page.declares["zero_stages"] == [0, 1, 2, 3]
    assert page.needs == ()


def test_card_of_a_metric_describes_the_options_of_its_multiclass_form():
    options = {option.name: option for option in card("f1").options}
    assert options["task"].derived
    assert options["num_classes"].derived
    assert options["average"].default == "macro"
    assert options["average"].description


def test_a_class_without_a_docstring_does_not_borrow_its_base_s(job):
    job("own.py", "from torch import nn\nclass Mine(nn.MSELoss):\n    pass\n")
    page = card("own.py:Mine", "objectives", job.base)
    assert (page.purpose, page.text) == ("", "")


def test_name_in_several_groups_needs_the_group():
    with pytest.raises(PluginError, match="several groups") as raised:
        card("mse")
    assert "objectives, metrics" in raised.value.problems[0].allowed
    assert card("mse", "metrics").group == "metrics"


def test_unknown_name_over_all_groups():
    with pytest.raises(PluginError) as raised:
        card("cosin")
    assert raised.value.problems[0].nearest == "cosine"
    with pytest.raises(PluginError, match=r"does not say[^$]*as in objectives/torch"):
        card("torch.nn.MSELoss")
    assert card("CrossEntropyLoss").group == "objectives"


PLACES = {
    "objectives": ["objective"],
    "strategies": ["strategies", 0],
    "procedures": ["procedure"],
    "aggregators": ["federation", "aggregator"],
    "partitioners": ["federation", "partition"],
    "update_transforms": ["federation", "update_transforms", 0],
    "models": ["model"],
    "datasets": ["data", "source"],
    "transforms": ["data", "transforms", 0],
    "metrics": ["metrics", 0],
    "optimizers": ["optimizer"],
    "schedules": ["schedule"],
}


@pytest.mark.parametrize("group", GROUPS)
def test_every_card_is_json_and_its_example_stands_where_the_job_has_it(group):
    for name in short_names(group):
        page = card(name, group)
        json.dumps(page.to_json(), allow_nan=False)
        spec = yaml.safe_load(page.example)
        for key in PLACES[group]:
            spec = spec[key]
        assert spec == name or spec["name"] == name


def test_examples_without_open_options_validate():
    base = {
        "name": "x",
        "data": {"source": "digits"},
        "model": "mlp",
        "objective": "cross_entropy",
    }
    for group, key in (("optimizers", "optimizer"), ("schedules", "schedule")):
        for name in short_names(group):
            page = card(name, group)
            if "<" in page.example:
                continue
            job = TrainJob.model_validate(base | yaml.safe_load(page.example))
            spec = getattr(job, key)
            assert check_options(find(group, name), spec.options, key)[1] == [], page.example


def test_listing_imports_no_library():
    script = (
        "import sys\n"
        "from trainwright.plugins.catalogue import listing\n"
        "assert len(listing()) > 60\n"
        "print({'torch', 'ray', 'mlflow', 'sklearn', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout == "set()\n"


def test_defaults_without_a_json_form_are_text(job):
    job(
        "own.py",
        """
        class Net:
            def __init__(self, top: float = float("inf"), low: float = -float("inf"),
                         small: float = 1e-9, kind: type = int):
                pass
        """,
    )
    page = card("own.py:Net", "models", job.base)
    assert [option.default for option in page.options] == ["inf", "-inf", 1e-9, "<class 'int'>"]
    model = yaml.safe_load(page.example)["model"]
    assert (model["top"], model["low"], model["small"]) == (float("inf"), -float("inf"), 1e-9)
