"""Faults that spoilt jobs have found, each with what it takes to see it again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from trainwright.cli.main import main
from trainwright.errors import InputError, Location, Problem
from trainwright.job import Job
from trainwright.job.check import check_plugins
from trainwright.job.kinds import kind_of

TRAIN = "name: j\ndata: {source: digits}\nmodel: mlp\nobjective: cross_entropy\n"
COMPARE = "kind: compare\nname: c\nbase:\n  data: {source: digits}\n  model: mlp\n"


def problems(text: str, folder: Path, *overrides: str) -> list[Problem]:
    (folder / "job.yaml").write_text(text)
    try:
        return check_plugins(Job.load(folder / "job.yaml", overrides))
    except InputError as error:
        return error.problems


def problem(text: str, folder: Path, *overrides: str) -> Problem:
    (only,) = problems(text, folder, *overrides)
    return only


def test_a_device_without_end_is_no_job_file(tmp_path: Path) -> None:
    found = problem("extends: /dev/zero\n", tmp_path)
    assert "/dev/zero has more than" in found.message
    assert found.location == Location(str(tmp_path / "job.yaml"), 1)


@pytest.mark.parametrize("written", [r'"a\0b"', r'"\ud800"'])
@pytest.mark.parametrize("key", ["extends", "data", "model"])
def test_signs_that_no_file_name_can_have(key: str, written: str, tmp_path: Path) -> None:
    found = problem(f"name: j\n{key}: {written}\n", tmp_path)
    assert (found.path, found.location.line) == (key, 2)
    assert "no text can have" in found.message


def test_such_signs_in_keys_overrides_and_dictionaries(tmp_path: Path) -> None:
    found = problem(TRAIN + '"\\ud800": 1\n', tmp_path)
    assert str(found).endswith(
        r"job.yaml:5: \ud800: holds a character that no text can have (U+D800)"
    )
    assert "U+DCFF" in problem(TRAIN, tmp_path, os.fsdecode(b"\xff=1")).message
    with pytest.raises(InputError, match=r"U\+0000"):
        Job.from_dict({"name": "j", "model": "m\0"})


def test_signs_that_steer_a_terminal_are_spelled_out(tmp_path: Path) -> None:
    found = problem(TRAIN + '"a\\e[31m\\nb\\u202e": 1\n', tmp_path)
    assert (
        str(found)
        .splitlines()[0]
        .endswith(r"job.yaml:5: a\x1b[31m\nb\u202e: there is no key 'a\x1b[31m\nb\u202e' here")
    )


def test_json_holds_what_cannot_be_encoded(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "job.yaml").write_text(TRAIN)
    with pytest.raises(SystemExit):
        main(["validate", str(tmp_path / "job.yaml"), "-s", os.fsdecode(b"\xff=1"), "--json"])
    assert json.loads(capfd.readouterr().out)["problems"][0]["path"] == "\udcff"


@pytest.mark.parametrize("key", ["-", "- ", "--fresh"])
def test_a_key_like_an_argument_of_the_command_line_has_its_line(key: str, tmp_path: Path) -> None:
    assert problem(f"{TRAIN}'{key}': 1\n", tmp_path).location.line == 5


@pytest.mark.parametrize("seeds", ["5000000000000", "9" * 30])
def test_more_seeds_than_can_be_listed(seeds: str, tmp_path: Path) -> None:
    text = f"{COMPARE}  objective: mse\nvariants: {{baseline: {{}}, b: {{}}}}\nseeds: {seeds}\n"
    found = problem(text, tmp_path)
    assert (found.path, found.message) == ("seeds", "is out of range")
    assert "from 1 to 10000" in str(found.allowed)


def test_a_variant_with_a_point_in_its_name(tmp_path: Path) -> None:
    text = f"{COMPARE}  objective: mse\nvariants: {{baseline: {{}}, a.b: {{model: mlp}}}}\n"
    assert problem(text, tmp_path).path == "variants.a.b"


def test_a_key_with_points_beside_a_list_that_a_variant_empties(tmp_path: Path) -> None:
    text = COMPARE.replace("data: {source: digits}", "strategies.0.rate: 1").replace(
        "c\n", "d\n", 1
    )
    variants = "variants: {baseline: {}, b: {strategies: []}}\nsplit_by_seed: true\n"
    found = problems(f"{text}  objective: mse\n{variants}", tmp_path)
    paths = {problem.path for problem in found}
    assert {"base.data", "base.strategies.0.rate"} <= paths
    assert {p.message for p in found if p.path.endswith("data")} == {"is missing"}


def test_one_variant_is_too_few(tmp_path: Path) -> None:
    found = problem(f"{COMPARE}  objective: mse\nvariants: {{baseline: {{}}}}\n", tmp_path)
    assert found.message == "has too few entries"
    assert str(found.allowed).startswith("two or more")


@pytest.mark.parametrize("name", ["/.x", "..:x", "../../../etc.passwd", "/etc/x.py:Y"])
def test_a_plugin_outside_the_folder_of_the_job(name: str, tmp_path: Path) -> None:
    assert problem(TRAIN.replace("mlp", f"'{name}'"), tmp_path).path == "model"


def test_a_model_larger_than_any_machine(tmp_path: Path) -> None:
    model = "{name: mlp, hidden: [100000000000000]}"  # more than a processor can address
    (tmp_path / "job.yaml").write_text(TRAIN.replace("mlp", model))
    job = Job.load(tmp_path / "job.yaml")
    with pytest.raises(InputError, match=r"job.yaml:3: model.hidden: mlp fails .* memory"):
        kind_of(job).validate(job)


@pytest.mark.parametrize("kind", ["{}", "42", "zzz"])
def test_a_kind_that_cannot_be_read_is_guessed_by_the_keys(kind: str, tmp_path: Path) -> None:
    text = f"{COMPARE}  objective: mse\nvariants: {{baseline: {{}}, b: {{}}}}\n"
    assert problem(text.replace("kind: compare", f"kind: {kind}"), tmp_path).path == "kind"


def test_an_empty_name_and_whole_numbers_say_how_they_are_written(tmp_path: Path) -> None:
    assert problem(TRAIN.replace("mlp", "{name: ''}"), tmp_path).allowed == (
        "text with at least 1 character"
    )
    for wrong, mend in (("'64'", "write 64 without quotes"), ("64.0", "write 64")):
        text = TRAIN.replace("mlp", f"{{name: mlp, hidden: [{wrong}]}}")
        assert problem(text, tmp_path).mend == mend


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("  name: j\ndata: d\n", "does not belong to what stands above"),
        ("name: j\nmetrics: - accuracy\n", "where no list can begin"),
    ],
)
def test_syntax_in_plain_words(text: str, words: str, tmp_path: Path) -> None:
    found = problem(text, tmp_path)
    assert words in found.message
    assert found.location.line == 2
    assert found.mend
