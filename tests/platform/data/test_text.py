"""Packing of text, against a reference that goes byte by byte."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright.data.sources.text import pack, text
from trainwright.data.table import IGNORED
from trainwright.errors import DataError, JobError
from trainwright.job import Job

UMLAUTS = "Übermäßig – 漢字 🎈\r\n"


def slow(documents: list[bytes], length: int) -> tuple[list[list[int]], list[list[int]]]:
    stream: list[int] = []
    for document in documents:
        if document:
            stream.extend(document)
            stream.append(256)
    tokens: list[list[int]] = []
    target: list[list[int]] = []
    for place in range(len(stream) - 1):
        if place % length == 0:
            tokens.append([])
            target.append([])
        tokens[-1].append(stream[place])
        target[-1].append(stream[place + 1])
    while len(tokens[-1]) < length:
        tokens[-1].append(256)
        target[-1].append(IGNORED)
    return tokens, target


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.binary(max_size=40), min_size=1, max_size=5).filter(any),
    st.integers(1, 50),
)
def test_packing_against_the_slow_reference(documents: list[bytes], length: int) -> None:
    tokens, target = pack(documents, length)
    expected = slow(documents, length)
    assert (tokens.tolist(), target.tolist()) == expected


def test_every_byte_is_predicted_once_from_those_before_it(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(bytes(range(256)))
    table = text(str(tmp_path / "a.txt"), length=10)
    target = table.take(torch.arange(len(table)))["target"].flatten()
    assert target[target != IGNORED].tolist() == [*range(1, 256), 256]
    assert (target == IGNORED).sum() == 26 * 10 - 256


def test_unicode_in_any_encoding_comes_back(tmp_path: Path) -> None:
    for encoding in ("utf-8", "utf-16"):
        (tmp_path / "a.txt").write_bytes(UMLAUTS.encode(encoding))
        batch = text(str(tmp_path / "a.txt"), length=7).take(torch.arange(1))
        whole = text(str(tmp_path / "a.txt"), length=7)
        tokens = whole.take(torch.arange(len(whole)))["tokens"].flatten().tolist()
        read = bytes(token for token in tokens if token < 256)
        assert read.decode(encoding).rstrip("\n") == UMLAUTS.rstrip("\n")
        assert batch["tokens"].dtype == batch["target"].dtype == torch.int64


def test_one_byte_is_a_sequence(tmp_path: Path) -> None:
    (tmp_path / "tiny.txt").write_text("x")
    batch = text(str(tmp_path / "tiny.txt"), length=4).take(torch.arange(1))
    assert batch["tokens"].tolist() == [[ord("x"), 256, 256, 256]]
    assert batch["target"].tolist() == [[256, IGNORED, IGNORED, IGNORED]]


def test_folders_globs_lists_and_urls(tmp_path: Path) -> None:
    for name, content in {"b.md": "bb", "a.txt": "aa", "c.txt": "", "sub/d.txt": "dd"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/corpus/x.txt", b"xx")

    def read(files: str | list[str]) -> str:
        table = text(files, length=64)
        row = table.take(torch.arange(1))["tokens"][0].tolist()
        return "".join("|" if token == 256 else chr(token) for token in row).rstrip("|")

    assert read(str(tmp_path)) == "aa|bb|dd"
    assert read(f"{tmp_path}/*.txt") == "aa"
    assert read(f"file://{tmp_path}/b.md") == "bb"
    assert read([f"{tmp_path}/b.md", "memory://corpus/x.txt", f"{tmp_path}/a.txt"]) == "bb|xx|aa"


def test_columns_and_storage(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello " * 20)
    table = text(str(tmp_path / "a.txt"), length=16)
    assert len(table) == 8
    for name in ("tokens", "target"):
        column = table.columns[name]
        assert (column.kind, column.shape, column.num_classes) == ("tokens", (16,), 257)
        assert table.tensors[name].dtype == torch.int16  # four bytes for one, not sixteen
    (tmp_path / "a.txt").write_text("hellO " * 20)
    assert text(str(tmp_path / "a.txt"), length=16).fingerprint() != table.fingerprint()


def test_refusals_name_the_option_and_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(DataError, match="all files are empty"):
        text(str(tmp_path / "notes.txt"))
    job = _job(tmp_path, "note.txt")
    with pytest.raises(DataError) as caught:
        _prepare(job)
    (problem,) = caught.value.problems
    assert (problem.path, problem.nearest) == ("data.source.files", "notes.txt")
    assert problem.location.line > 0


def test_memory_is_refused_with_workers(tmp_path: Path) -> None:
    with pytest.raises(JobError) as caught:
        _prepare(_job(tmp_path, "memory://corpus/x.txt", workers=2))
    assert [p.path for p in caught.value.problems] == ["data.source.files"]


def _job(folder: Path, files: str, workers: int = 0) -> Path:
    job = folder / "job.yaml"
    job.write_text(
        f"""
        name: lm
        data: {{source: {{name: text, files: "{files}", length: 8}}, batch_size: 4}}
        model: {{name: gpt, dim: 8, depth: 1, heads: 2}}
        objective: causal_lm
        cluster: {{workers: {workers}, cpus_per_worker: 0.1}}
        tracking: {{enabled: false}}
        """
    )
    return job


def _prepare(job: Path) -> object:
    from trainwright.orchestration.prepare import prepare

    return prepare(Job.load(job))


def test_paths_start_at_the_job_s_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainwright.orchestration.anchoring import anchored

    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "a.txt").write_text("words " * 30)
    monkeypatch.chdir(tmp_path.parent)
    job = _job(tmp_path, "words/*.txt")
    assert "model: gpt" in " ".join(_prepare(job).summary)
    read = Job.load(job)
    sent = anchored(read.spec, read.base).data.source
    assert sent.options == {"files": f"{tmp_path}/words/*.txt", "length": 8}
