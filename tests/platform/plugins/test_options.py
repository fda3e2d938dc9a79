"""Options against typed signatures, one row per type and kind of mistake."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import pytest
import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from trainwright.durations import Duration
from trainwright.errors import PluginError
from trainwright.plugins import Plugin, check_options, construct

if TYPE_CHECKING:
    from somewhere import Unknown


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Nested(BaseModel):
    size: int
    name: str = "x"


class Everything:
    def __init__(
        self,
        number: float = 1.0,
        whole: int = 1,
        flag: bool = False,
        text: str = "",
        positive: Annotated[float, Field(gt=0, le=10)] = 1.0,
        pair: tuple[float, float] = (0.9, 0.999),
        many: tuple[int, ...] = (),
        numbers: list[float] | None = None,
        sequence: Sequence[int] = (),
        choice: Literal["mean", "sum"] = "mean",
        maybe: Optional[int] = None,  # noqa: UP045
        either: int | str = 0,
        tensor: Tensor | None = None,
        tensors: list[Tensor] | None = None,
        table: dict[str, float] | None = None,
        by_number: dict[int, float] | None = None,
        length: Duration = Duration(1, "epochs"),  # noqa: B008
        file: Path = Path(),
        colour: Colour = Colour.RED,
        nested: Nested | None = None,
        function: Callable[[], int] | None = None,
        hidden: Unknown | None = None,
        free=None,
        anything: Any = None,
    ) -> None:
        self.options = dict(locals())


def plugin(factory):
    return Plugin("thing", "models", factory, "test")


def check(options, factory=Everything, derived=None):
    return check_options(plugin(factory), options, "model", derived)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"number": 3}, 3.0),
        ({"number": float("inf")}, float("inf")),
        ({"whole": 3}, 3),
        ({"flag": True}, True),
        ({"text": "a"}, "a"),
        ({"positive": 10}, 10.0),
        ({"pair": [0.5, 1]}, (0.5, 1.0)),
        ({"pair": (0.5, 0.5)}, (0.5, 0.5)),
        ({"many": [1, 2, 3]}, (1, 2, 3)),
        ({"numbers": [1, 0.1]}, [1.0, 0.1]),
        ({"sequence": [1]}, [1]),
        ({"choice": "sum"}, "sum"),
        ({"maybe": None}, None),
        ({"maybe": 4}, 4),
        ({"either": "a"}, "a"),
        ({"either": 2}, 2),
        ({"table": {"a": 1}}, {"a": 1.0}),
        ({"by_number": {1: 0.5}}, {1: 0.5}),
        ({"length": "200 steps"}, Duration(200, "steps")),
        ({"length": Duration(2, "epochs")}, Duration(2, "epochs")),
        ({"file": "a/b"}, Path("a/b")),
        ({"colour": "blue"}, Colour.BLUE),
        ({"nested": {"size": 3}}, Nested(size=3)),
        ({"hidden": [1, "x"]}, [1, "x"]),
        ({"free": {1: (2, None)}}, {1: (2, None)}),
        ({"anything": (1, "x")}, (1, "x")),
    ],
)
def test_accepted(options, expected):
    values, problems = check(options)
    assert problems == []
    (found,) = values.values()
    assert found == expected
    assert type(found) is type(expected)


def test_lists_become_tensors():
    values, problems = check({"tensor": [1, 2.5], "tensors": [[1], [[2, 3]]]})
    assert problems == []
    assert values["tensor"].dtype is torch.float32
    assert values["tensor"].tolist() == [1.0, 2.5]
    assert [item.shape for item in values["tensors"]] == [(1,), (1, 2)]


def test_python_objects_pass_as_they_are():
    tensor, function = torch.arange(3), len
    values, problems = check({"tensor": tensor, "function": function})
    assert problems == []
    assert values["tensor"] is tensor
    assert values["function"] is function


@pytest.mark.parametrize(
    ("options", "path", "allowed"),
    [
        ({"number": True}, "model.number", "number"),
        ({"number": "3"}, "model.number", "number"),
        ({"whole": True}, "model.whole", "whole number"),
        ({"whole": 3.0}, "model.whole", "whole number"),
        ({"whole": "3"}, "model.whole", "whole number"),
        ({"whole": None}, "model.whole", "whole number"),
        ({"flag": 1}, "model.flag", "true or false"),
        ({"flag": "yes"}, "model.flag", "true or false"),
        ({"text": 3}, "model.text", "text"),
        ({"positive": 0}, "model.positive", "number > 0 and <= 10"),
        ({"positive": 11}, "model.positive", "number > 0 and <= 10"),
        ({"pair": [0.9]}, "model.pair", "list of 2: number, number"),
        ({"pair": [0.9, 0.9, 0.9]}, "model.pair", "list of 2: number, number"),
        ({"pair": [0.9, True]}, "model.pair.1", "number"),
        ({"pair": 0.9}, "model.pair", "list of 2: number, number"),
        ({"many": [1, "b", 3]}, "model.many.1", "whole number"),
        ({"numbers": [[1]]}, "model.numbers.0", "number"),
        ({"choice": "max"}, "model.choice", "one of mean, sum"),
        ({"maybe": "x"}, "model.maybe", "whole number or null"),
        ({"either": 1.5}, "model.either", "whole number or text"),
        ({"tensor": "abc"}, "model.tensor", "list of numbers or null"),
        ({"tensor": [True]}, "model.tensor", "list of numbers or null"),
        ({"table": [1]}, "model.table", "mapping of text to number or null"),
        ({"table": {"a": "b"}}, "model.table.a", "mapping of text to number or null"),
        ({"length": "200"}, "model.length", "duration such as '200 steps' or '1 epoch'"),
        ({"length": 200}, "model.length", "duration such as '200 steps' or '1 epoch'"),
        ({"colour": "rod"}, "model.colour", "one of red, blue"),
        ({"nested": {"size": "x"}}, "model.nested.size", "Nested or null"),
        ({"function": "len"}, "model.function", "function (from Python only) or null"),
    ],
)
def test_refused(options, path, allowed):
    _, problems = check(options)
    assert [(problem.path, problem.allowed) for problem in problems] == [(path, allowed)]
    assert problems[0].message


def test_refused_value_is_shown_at_its_place():
    _, problems = check({"many": [1, "b", 3, None]})
    assert [(problem.path, problem.got) for problem in problems] == [
        ("model.many.1", "b"),
        ("model.many.3", None),
    ]


def test_nearest_allowed_spelling():
    assert check({"choice": "meen"})[1][0].nearest == "mean"
    assert check({"colour": "bleu"})[1][0].nearest == "blue"


def test_number_that_yaml_reads_as_text_is_explained():
    (problem,) = check({"number": "1e-3"})[1]
    assert "0.001" in problem.mend
    assert check({"number": "many"})[1][0].mend is None


def test_unknown_option_says_the_nearest():
    _, problems = check({"numbr": 1.0, "qqq": 1})
    assert [(problem.path, problem.nearest) for problem in problems] == [
        ("model.numbr", "number"),
        ("model.qqq", None),
    ]
    assert "number, whole, flag" in problems[0].allowed


def test_required_option_left_out():
    def make(a: int, b: Literal["x", "y"], c: int = 3) -> None: ...

    values, problems = check({"a": 1}, make)
    assert values == {"a": 1}
    assert [(problem.path, problem.allowed) for problem in problems] == [("model.b", "one of x, y")]


def test_a_required_option_of_wrong_type_is_one_problem():
    def make(a: int) -> None: ...

    assert len(check({"a": "x"}, make)[1]) == 1


def test_several_problems_at_once():
    assert len(check({"number": "a", "whole": "b", "nothing": 1})[1]) == 3


def test_derived_values_fill_what_is_left_out_only():
    def make(num_classes: int, in_features: int = 5, depth: int = 2) -> None: ...

    derived = {"num_classes": 10, "in_features": 64, "image_size": 8}
    assert check({}, make, derived) == ({"num_classes": 10, "in_features": 64}, [])
    assert check({"num_classes": 3}, make, derived)[0]["num_classes"] == 3


def test_constructors_that_take_anything():
    def make(a: int = 1, **more: Any) -> None: ...

    values, problems = check({"a": 2, "b": object}, make)
    assert values == {"a": 2, "b": object}
    assert problems == []
    assert len(check({"a": "x"}, make)[1]) == 1


def test_a_module_without_a_constructor_has_no_options():
    class Loss(nn.Module):
        pass

    assert check({}, Loss) == ({}, [])
    (problem,) = check({"a": 1}, Loss)[1]
    assert problem.allowed == "no options"


def test_inherited_constructors_count():
    class Mine(nn.SmoothL1Loss):
        pass

    assert check({"beta": 2}, Mine)[0] == {"beta": 2.0}


def test_dataclasses_and_pydantic_models_are_plugins_too():
    @dataclass(frozen=True)
    class Options:
        a: int
        b: Mapping[str, int] | None = None

    values, problems = check({"a": 1, "b": {"x": 2}}, Options)
    assert problems == []
    assert construct(plugin(Options), values) == Options(1, {"x": 2})
    assert check({"a": "x"}, Options)[1][0].path == "model.a"
    assert check({"size": 2}, Nested) == ({"size": 2}, [])


def test_new_counts_where_it_is_the_constructor():
    class Made:
        def __new__(cls, size: int) -> Made:
            return super().__new__(cls)

    assert check({"size": 1}, Made) == ({"size": 1}, [])
    assert check({}, Made)[1][0].path == "model.size"


def test_a_function_without_a_signature_takes_anything():
    assert check({"a": 1}, min) == ({"a": 1}, [])


def test_problems_without_a_path():
    _, problems = check_options(plugin(Everything), {"whole": "x"}, "")
    assert problems[0].path == "whole"


def test_errors_of_other_kinds_are_told_with_their_line():
    def make() -> None:
        raise KeyError("a bug, not an option")

    told = r"thing fails with its options: .*test_options.py:\d+: KeyError: 'a bug, not an option'"
    with pytest.raises(PluginError, match=told) as caught:
        construct(plugin(make), {})
    assert isinstance(caught.value.__cause__, KeyError)


def test_an_input_error_of_the_plugin_is_kept():
    def make() -> None:
        raise PluginError("its own words")

    with pytest.raises(PluginError, match="its own words"):
        construct(plugin(make), {})
