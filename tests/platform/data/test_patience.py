"""Trying again: what can pass, how often, and how it ends."""

from __future__ import annotations

import errno
import logging
import threading
from pathlib import Path
from typing import Any

import aiohttp
import fsspec
import pyarrow as pa
import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from fsspec.exceptions import FSTimeoutError
from streamed_files import in_memory, streamed, write_files

from trainwright.data.streaming import patience as patience_module
from trainwright.data.streaming.patience import Closed, GivenUpError, Patience, can_pass
from trainwright.errors import DataError

PASSING = [
    ConnectionResetError("reset"),
    TimeoutError("slow"),
    FSTimeoutError(),
    OSError(errno.EIO, "the store says 500"),
    OSError(errno.EBUSY, "slow down"),
    aiohttp.ServerDisconnectedError(),
    aiohttp.ClientPayloadError("short"),
    EndpointConnectionError(endpoint_url="http://store"),
    ReadTimeoutError(endpoint_url="http://store"),
]
LASTING = [
    FileNotFoundError("gone"),
    PermissionError("no"),
    OSError("Corrupt snappy compressed data"),
    pa.ArrowInvalid("not parquet"),
    ValueError("a mistake"),
    KeyError("a mistake"),
    ImportError("no s3fs"),
    DataError("a column is wrong"),
    MemoryError(),
    aiohttp.ClientResponseError(None, (), status=403),  # type: ignore[arg-type]
]


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience_module, "FIRST_WAIT_S", 1e-3)


@pytest.mark.parametrize("error", PASSING, ids=lambda error: type(error).__name__)
def test_what_can_pass(error: Exception) -> None:
    assert can_pass(error)


@pytest.mark.parametrize("error", LASTING, ids=lambda error: type(error).__name__)
def test_what_cannot(error: Exception) -> None:
    assert not can_pass(error)


class Refusing:
    def __init__(self, times: int, error: Exception) -> None:
        self.left = times
        self.error = error
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        if self.left:
            self.left -= 1
            raise self.error
        return "given"


def test_it_is_asked_again_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    patience, store = Patience(4), Refusing(3, TimeoutError("slow"))
    with caplog.at_level(logging.WARNING):
        assert patience("part-0, row group 2", store) == "given"
    assert store.asked == 4
    assert len(caplog.messages) == 3
    assert (
        "part-0, row group 2: TimeoutError: slow; attempt 2 of 5 follows in" in (caplog.messages[0])
    )


def test_it_gives_up_in_the_end_and_at_once_for_what_lasts() -> None:
    store = Refusing(9, TimeoutError("slow"))
    with pytest.raises(GivenUpError) as caught:
        Patience(2)("x", store)
    assert (store.asked, caught.value.attempts) == (3, 3)
    assert caught.value.__cause__ is store.error
    store = Refusing(9, PermissionError("no"))
    with pytest.raises(PermissionError):
        Patience(2)("x", store)
    assert store.asked == 1


def test_closing_ends_the_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience_module, "FIRST_WAIT_S", 1000.0)
    patience, store = Patience(5), Refusing(9, TimeoutError("slow"))
    raised: list[BaseException] = []

    def ask() -> None:
        try:
            patience("x", store)
        except Closed as error:
            raised.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    patience.close()
    thread.join(60)
    assert not thread.is_alive()
    assert raised


class _Flaky:
    """A file of which some reads fail."""

    def __init__(self, file: Any, refuse: Any) -> None:
        self._file = file
        self._refuse = refuse

    def read(self, *size: int) -> bytes:
        self._refuse()
        content: bytes = self._file.read(*size)
        return content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _Flaky:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The files in memory; ``store["refuse"]`` is called before each read of one."""
    write_files(tmp_path / "local", [[9, 9], [9, 9, 9]])
    fs = fsspec.filesystem("memory")
    for path in (tmp_path / "local").iterdir():
        fs.pipe_file(f"/flaky/{path.name}", path.read_bytes())
    control = {"refuse": lambda: None, "url": "memory://flaky", "local": tmp_path / "local"}
    opened = type(fs).open
    monkeypatch.setattr(
        type(fs),
        "open",
        lambda self, *a, **k: _Flaky(opened(self, *a, **k), lambda: control["refuse"]()),
    )
    yield control
    fs.rm("/flaky", recursive=True)


def test_a_flaky_store_changes_nothing(store: Any) -> None:
    calls = {"n": 0}

    def refuse() -> None:
        calls["n"] += 1
        if calls["n"] in (3, 9, 12, 15, 40):
            raise ConnectionResetError("the store hung up")

    store["refuse"] = refuse
    table = streamed(store["url"], shards=3, window=12, retries=20)
    order = table.order(0, True)
    ahead = table.read_ahead(order, 0, 1, 1)
    expected = in_memory(store["local"])
    for start in range(0, 45, 6):
        rows = order.rows(0, start, min(start + 6, 45))
        got = ahead.take(0, start, start + len(rows))
        assert got["sample_id"].tolist() == rows.tolist()
        assert got["features"].equal(expected.tensors["features"][rows])
    ahead.close()
    assert calls["n"] > 15


def test_a_store_that_stays_away_is_named_with_file_group_and_attempts(store: Any) -> None:
    table = streamed(store["url"], shards=3, window=12, retries=2)

    def refuse() -> None:
        raise TimeoutError("nobody answers")

    store["refuse"] = refuse
    ahead = table.read_ahead(table.order(0, True), 0, 1, 1)
    with pytest.raises(DataError) as caught:
        ahead.take(0, 0, 6)
    ahead.close()
    (problem,) = caught.value.problems
    assert "memory://" in problem.message
    assert "row group" in problem.message
    assert "after 3 attempts: TimeoutError: nobody answers" in problem.message
