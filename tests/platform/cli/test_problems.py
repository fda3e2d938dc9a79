"""Errors in words, in JSON, and the cause behind a traceback."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from trainwright.cli.problems import cause, problem_to_json, refusal, write_traceback
from trainwright.errors import Location, Problem


def test_a_problem_as_json() -> None:
    problem = Problem(
        "a.b", "is wrong", got={"x": (1, Path("p"))}, nearest="c", location=Location("job.yaml", 3)
    )
    assert problem_to_json(problem) == {
        "path": "a.b",
        "message": "is wrong",
        "got": {"x": [1, "p"]},
        "allowed": None,
        "nearest": "c",
        "mend": None,
        "file": "job.yaml",
        "line": 3,
    }


def test_a_problem_without_value_or_place_as_json() -> None:
    plain = problem_to_json(Problem("", "is wrong", location=Location("-s a=1")))
    assert (plain["got"], plain["file"], plain["line"]) == (None, "-s a=1", None)


def test_a_refusal_is_the_problem_itself_where_there_is_room() -> None:
    problems = [
        Problem("a", "is wrong", got=1, allowed="2", nearest="2", location=Location("job.yaml", 3)),
        Problem("b", "is missing", mend="add it"),
    ]
    assert refusal(problems, 240).plain == "\n".join(str(problem) for problem in problems)


def test_long_details_are_folded_below_their_beginning() -> None:
    words = ", ".join(f"word{number}" for number in range(30))
    lines = refusal([Problem("a", "is wrong", allowed=words)], 60).plain.splitlines()
    assert lines[1].startswith("    allowed: word0, ")
    assert all(line.startswith(" " * 13 + "word") for line in lines[2:])
    assert max(map(len, lines)) <= 60
    assert " ".join(line.strip() for line in lines[1:]) == f"allowed: {words}"


def _failing(depth: int) -> None:
    if depth:
        _failing(depth - 1)
    int("no number")


def _trace() -> str:
    try:
        _failing(2)
    except ValueError:
        return traceback.format_exc()
    raise AssertionError


def test_the_cause_names_the_users_own_line() -> None:
    library = (
        '  File "/usr/lib/python3/site-packages/torch/nn/functional.py", line 7, in linear\n'
        "    return _linear(x)\nValueError: bad shape\n"
    )
    text, line = cause(f"worker 0 failed: ValueError: bad shape\n{_trace()}{library}")
    assert text == "worker 0 failed: ValueError: bad shape"
    assert line is not None
    assert line.startswith(f"{__file__}:")
    assert line.endswith('in _failing: int("no number")')


def test_the_cause_without_a_line_of_the_user_is_the_innermost_one() -> None:
    trace = (
        "Traceback (most recent call last):\n"
        '  File "/x/site-packages/a.py", line 1, in outer\n    inner()\n'
        '  File "/x/site-packages/b.py", line 2, in inner\nValueError: bad\n'
    )
    assert cause(f"ValueError: bad\n{trace}") == (
        "ValueError: bad",
        "/x/site-packages/b.py:2 in inner",
    )


def test_the_cause_without_a_traceback() -> None:
    assert cause("the workers ended without a result") == (
        "the workers ended without a result",
        None,
    )


def test_a_traceback_is_added_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "driver.log"
    log.write_text("before\n")
    with pytest.raises(ValueError, match="no number") as caught:
        _failing(0)
    assert write_traceback(caught.value, log) == log
    assert log.read_text().startswith("before\nTraceback")


def test_a_traceback_without_a_log_gets_a_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no number") as caught:
        _failing(0)
    place = write_traceback(caught.value, tmp_path / "missing" / "driver.log")
    assert "no number" in place.read_text()
    place.unlink()
