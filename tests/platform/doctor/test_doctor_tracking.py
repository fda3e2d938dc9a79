"""Tracking servers and databases as the doctor finds them."""

from __future__ import annotations

import http.server
import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trainwright.doctor import places


class _Healthy(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """No noise."""


class _Broken(_Healthy):
    status = 503


@pytest.fixture
def serve() -> Iterator[Any]:
    servers: list[http.server.HTTPServer] = []

    def start(handler: type[http.server.BaseHTTPRequestHandler]) -> str:
        server = http.server.HTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_tracking_server(serve: Any) -> None:
    assert places.check_tracking(serve(_Healthy)).state == "ok"
    broken = places.check_tracking(serve(_Broken))
    assert (broken.state, "503" in broken.says) == ("note", True)
    silent = places.check_tracking("http://user:secret@127.0.0.1:9")
    assert silent.state == "note"
    assert "sync" in silent.mend
    assert "secret" not in json.dumps(silent.to_json())


def test_tracking_databases(tmp_path: Path) -> None:
    assert places.check_tracking(f"sqlite:///{tmp_path}/new.db").state == "ok"
    assert not (tmp_path / "new.db").exists()
    (tmp_path / "text.db").write_text("this is no database, it is a text" * 100)
    assert places.check_tracking(f"sqlite:///{tmp_path}/text.db").state == "note"
    with sqlite3.connect(tmp_path / "good.db") as database:
        database.execute("create table alembic_version (version_num text)")
    assert places.check_tracking(f"sqlite:///{tmp_path}/good.db").state == "ok"
    assert places.check_tracking("file:///tmp/mlruns").state == "stop"
