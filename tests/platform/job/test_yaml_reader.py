from __future__ import annotations

import math

import pytest

from trainwright.errors import JobError, Location
from trainwright.job.yaml_reader import LARGEST_FILE, read_file, read_value, read_yaml


def values(text: str):
    return read_yaml(text, "job.yaml").values


def refused(text: str) -> list:
    with pytest.raises(JobError) as caught:
        read_yaml(text, "job.yaml")
    return caught.value.problems


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        ("1.0e-3", 1e-3),
        (".5", 0.5),
        ("5.", 5.0),
        ("-2.5", -2.5),
        ("+3", 3),
        ("12", 12),
        ("007", 7),
        ("0o17", 15),
        ("0x1F", 31),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("No", "No"),
        ("y", "y"),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2024-01-01", "2024-01-01"),
        ("0b11", "0b11"),
        ("1e", "1e"),
        ('"1"', "1"),
        ("'true'", "true"),
        ("!!str 5", "5"),
        ("!!float 1", 1.0),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("s3://bucket/x", "s3://bucket/x"),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(written, read):
    found = values(f"a: {written}\n")["a"]
    assert found == read
    assert type(found) is type(read)


def test_positions_of_keys_items_and_nested_values():
    parsed = read_yaml(
        "# c\na:\n  b:\n    - 1\n    - {c: 2,\n       d: 3}\ne: >-\n  text\n", "j.yaml"
    )
    lines = {path: place.line for path, place in parsed.locations.items()}
    assert lines == {
        "": 2,
        "a": 2,
        "a.b": 3,
        "a.b.0": 4,
        "a.b.1": 5,
        "a.b.1.c": 5,
        "a.b.1.d": 6,
        "e": 7,
    }
    assert parsed.locations["a.b"] == Location("j.yaml", 3)


def test_keys_are_texts_however_they_look():
    assert values("1: a\ntrue: b\n2.5: c\n") == {"1": "a", "true": "b", "2.5": "c"}


def test_a_key_given_twice_names_both_lines():
    (problem,) = refused("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n")
    assert problem.path == "b.c"
    assert "lines 3 and 5" in problem.message
    assert problem.location == Location("job.yaml", 5)


def test_several_mistakes_are_told_at_once():
    problems = refused("a: 1\na: 2\nb: .nan\nc: !thing x\n")
    assert [problem.path for problem in problems] == ["a", "b", "c"]
    assert [problem.location.line for problem in problems] == [2, 3, 4]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a:\n\tb: 1\n", 2, "tab"),
        ("a: b: c\n", 1, "no key can stand"),
        ("a: 1\n b: 2\n", 2, "no key can stand"),
        ("a:\n  - 1\n - 2\n", 3, "indentation"),
        ("a: [1, 2\nb: 3\n", 2, "bracket"),
        ("a: {b: 1\n", 2, "bracket"),
        ('a: "x\n', 2, "quote"),
        ("a: 1\nfoo\n", 3, "key without its ':'"),
        ("a: *x\n", 1, "alias"),
        ("a: @x\n", 1, "reserves"),
        ("a: 1\n---\nb: 2\n", 2, "more than one document"),
        ("a: x\x01\n", 1, "U+0001"),
        ("- a\n- b\n", 1, "keys and values"),
        ("just text\n", 1, "keys and values"),
        ("", 1, "empty"),
        ("# only a comment\n", 1, "empty"),
        ("? [a, b]\n: 1\n", 1, "key must be a plain text"),
        ("a: !!int x\n", 1, "cannot be read as int"),
        ("a: !!python/object:os.system x\n", 1, "tag"),
        ("a: !!binary aGk=\n", 1, "tag"),
        ("a: &x {b: *x}\n", 1, "inside the very value"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", 3, "merge key"),
    ],
)
def test_what_is_no_job_is_refused_with_its_line(text, line, words):
    problem = refused(text)[0]
    assert words in problem.message
    assert problem.location == Location("job.yaml", line)


def test_anchors_repeat_values():
    assert values("a: &x {b: [1]}\nc: *x\n") == {"a": {"b": [1]}, "c": {"b": [1]}}


def test_a_chain_of_aliases_cannot_fill_the_memory():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    (problem,) = refused("\n".join(lines))
    assert "aliases" in problem.message


def test_deep_nesting_is_refused_not_a_crash():
    (problem,) = refused("a: " + "[" * 2000)
    assert "nested too deeply" in problem.message


def test_a_number_of_thousands_of_digits_is_refused():
    assert refused("a: " + "9" * 10_000)[0].path == "a"


def test_values_of_the_command_line():
    assert read_value("{name: z_loss, a: 2}", "-s x") == {"name": "z_loss", "a": 2}
    assert read_value("1e-3", "-s x") == 1e-3
    assert read_value("", "-s x") is None
    with pytest.raises(JobError) as caught:
        read_value("[1", "-s x=[1")
    assert caught.value.problems[0].location.file == "-s x=[1"


def test_a_missing_file_names_the_nearest_one(tmp_path):
    (tmp_path / "quickstart.yaml").write_text("a: 1")
    with pytest.raises(JobError) as caught:
        read_file(tmp_path / "quickstrat.yaml")
    (problem,) = caught.value.problems
    assert problem.nearest == str(tmp_path / "quickstart.yaml")
    assert caught.value.exit_status == 2


def test_a_missing_folder_is_told_as_such(tmp_path):
    with pytest.raises(JobError, match="there is no folder"):
        read_file(tmp_path / "nowhere" / "job.yaml")


def test_a_folder_is_no_job_file(tmp_path):
    (tmp_path / "job.yaml").write_text("a: 1")
    with pytest.raises(JobError, match=r"is a folder.*\n.*job\.yaml"):
        read_file(tmp_path)


def test_a_file_beside_a_file_is_no_folder(tmp_path):
    (tmp_path / "job.yaml").write_text("a: 1")
    with pytest.raises(JobError):
        read_file(tmp_path / "job.yaml" / "x.yaml")


def test_a_file_that_is_not_utf_8_names_the_line(tmp_path):
    (tmp_path / "job.yaml").write_bytes(b"name: a\nnote: gr\xfc\xdfe\n")
    with pytest.raises(JobError) as caught:
        read_file(tmp_path / "job.yaml")
    assert caught.value.problems[0].location.line == 2


def test_a_byte_order_mark_does_no_harm(tmp_path):
    (tmp_path / "job.yaml").write_bytes(b"\xef\xbb\xbfname: a\n")
    assert read_yaml(read_file(tmp_path / "job.yaml"), "j").values == {"name": "a"}


def test_a_data_file_named_by_mistake_is_not_parsed(tmp_path):
    (tmp_path / "big.yaml").write_bytes(b"a" * (LARGEST_FILE + 1))
    with pytest.raises(JobError, match="cannot be a job file"):
        read_file(tmp_path / "big.yaml")
