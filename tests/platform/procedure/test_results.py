"""Results of steps: what is read is what was written, and nothing else can be."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainwright.errors import RunError
from trainwright.procedure.results import numbers, pack, unpack
from trainwright.procedure.steps import Steps
from trainwright.storage import Folder


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        0.1,
        "text",
        [],
        {},
        [1, [2.5, None], {"a": {"b": [False]}}],
        {"inf": math.inf, "small": 5e-324},
    ],
)
def test_plain_values_come_back_as_they_were(value: Any) -> None:
    packed = pack(value)
    assert packed.ending == ".json"
    assert unpack(packed) == value


def test_tensors_come_back_bit_for_bit() -> None:
    base = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    value = {
        "shared": [base, base[1], base.T],
        "types": [base.bfloat16(), base.long(), base > 0, torch.tensor(2.5), torch.empty(0, 2)],
        "beside": {"n": 3, "text": "ä"},
    }
    packed = pack(value)
    assert packed.ending == ".safetensors"
    found = unpack(packed)
    assert found["beside"] == value["beside"]
    for key in ("shared", "types"):
        for one, other in zip(found[key], value[key], strict=True):
            assert one.dtype == other.dtype
            assert one.equal(other)


def test_what_json_lacks_becomes_what_it_has() -> None:
    found = unpack(pack({"pair": (1, 2), "number": np.float32(0.5), "array": np.arange(2)}))
    assert found["pair"] == [1, 2]
    assert found["number"] == 0.5
    assert found["array"].equal(torch.tensor([0, 1]))


@pytest.mark.parametrize("value", [object(), {1: 2}, {"__tensor__": "0"}, {1, 2}, b"bytes"])
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        pack([value])


def test_numbers() -> None:
    given = {"a": 1, "b": torch.tensor([2.5]), "c": np.float32(3), "d": math.nan}
    found = numbers(given)
    assert [found[name] for name in "abc"] == [1.0, 2.5, 3.0]
    assert math.isnan(found["d"])
    assert numbers(None) == {}
    for wrong in ({"a": "b"}, {"a": torch.ones(2)}, [1], {1: 2}):
        with pytest.raises(TypeError):
            numbers(wrong)


class TestSteps:
    def test_are_found_again(self, tmp_path: Path) -> None:
        steps = Steps(Folder(str(tmp_path)))
        names = ["plain", "a/b c", "ü?*", "x" * 300, "x" * 301, "."]
        for index, name in enumerate(names):
            assert name not in steps
            steps.save(name, pack({"index": index}))
        again = Steps(Folder(str(tmp_path)))
        assert len(again) == len(names)
        assert [again.load(name)["index"] for name in names] == list(range(len(names)))
        assert "another" not in again

    def test_half_written_files_do_not_count(self, tmp_path: Path) -> None:
        (tmp_path / "steps").mkdir()
        (tmp_path / "steps" / "one.json.1234abcd.part").write_text("{")
        assert "one" not in Steps(Folder(str(tmp_path)))

    @pytest.mark.parametrize("value", [{"a": 1}, torch.ones(3)])
    def test_a_damaged_one_is_named_with_the_mend(self, value: Any, tmp_path: Path) -> None:
        Steps(Folder(str(tmp_path))).save("one", pack(value))
        (file,) = (tmp_path / "steps").iterdir()
        file.write_bytes(file.read_bytes()[:-4])
        with pytest.raises(RunError, match=f"'one' is damaged .*remove {file}"):
            Steps(Folder(str(tmp_path))).load("one")
