"""Manifests as text: the same values to every reader of YAML, and readable."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from trainwright.submission.kubernetes.rendering import text_of

# Without what `kubectl kustomize` reads, but does not write so that it can be read again.
TRAPS = [
    *("1e3", "0x10", "0o17", "017", "1_000", "1:30", "-1", "+1", "1.", ".5", ".inf", ".nan", "nan"),
    *("y", "N", "yes", "Off", "TRUE", "null", "Null", "~", "", " ", "a ", " a", "-", "- a", "? a"),
    *("a: b", "a #b", "#", "*a", "&a", "!a", "%a", "@a", "`a", "{}", "[]", '"', "'", "\\", "a\\n"),
    *("2026-11-30", "2026-11-30T20:00:00Z", "1Gi", "500m", "12", "\t", "\r\n", "a\tb"),
    *("\u2028", "\ufeff", "\x07", "a\n", "\na", "a\n\n", " a\n  b\n", "a \nb\n"),
    *("---\n", "...\n", "a\n---\nb\n", "\U0001f600", "ö: ä", "a\rb\n", "key: |\n  x\n", "# c\n"),
]


def test_every_reader_sees_the_same_texts(tmp_path: Path) -> None:
    """PyYAML, which knows YAML 1.1, and the reader of kubectl, which knows much of 1.2."""
    data = {f"k{number}": trap for number, trap in enumerate(TRAPS)}
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": data}
    text = text_of([manifest])
    assert yaml.safe_load(text) == manifest
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    (tmp_path / "x.yaml").write_text(text)
    (tmp_path / "kustomization.yaml").write_text("resources: [x.yaml]\n")
    command = ["kubectl", "kustomize", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    read = yaml.safe_load(done.stdout)["data"]
    assert {key: (data[key], read[key]) for key in data if data[key] != read[key]} == {}


@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers() | st.booleans(), min_size=1)))
@example([{"<<": "=", "=": "<<"}, {"a": "\x7f\x85"}])
def test_what_is_written_is_read_again(manifests: list[dict[str, object]]) -> None:
    assert list(yaml.safe_load_all(text_of(manifests))) == manifests


def test_files_stand_in_it_as_they_were_written() -> None:
    job = "# A job.\nname: x\n\ndata:\n  source: digits   # small\n"
    text = text_of([{"data": {"job.yaml": job}}])
    assert text == "data:\n  job.yaml: |\n    # A job.\n    name: x\n\n    data:\n" + (
        "      source: digits   # small\n"
    )


def test_what_some_reader_takes_for_something_else_stands_in_quotes() -> None:
    """Readers of old versions of YAML take ``y`` for true."""
    text = text_of([{"y": "n", "a": "N", "b": "yes", "c": "nan", "d": "2026-11-30", "e": "1e3"}])
    assert text == '"y": "n"\na: "N"\nb: "yes"\nc: "nan"\nd: "2026-11-30"\ne: "1e3"\n'
    assert text_of([{"a": "1Gi", "b": "500m", "c": "x y"}]) == "a: 1Gi\nb: 500m\nc: x y\n"


def test_nothing_refers_to_another_place() -> None:
    shared = {"a": ["b"]}
    text = text_of([{"p": shared, "q": shared}])
    assert text == "p:\n  a:\n    - b\nq:\n  a:\n    - b\n"
    assert text_of([]) == ""
    assert json.dumps(yaml.safe_load(text)) == json.dumps({"p": shared, "q": shared})
