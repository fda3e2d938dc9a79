"""Every way in which the proxy misbehaves, as a client of an HTTP server sees it."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Iterator

import pytest
from chaos.proxy import Proxy

CONTENT = b"content " * 1000


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._reply(CONTENT)

    def do_PUT(self) -> None:
        taken = self.rfile.read(int(self.headers["Content-Length"]))
        self._reply(str(len(taken)).encode())

    def _reply(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    proxy = Proxy(server.server_address[1])
    yield proxy
    proxy.stop()
    server.shutdown()
    server.server_close()


def ask(proxy: Proxy, method: str = "GET", body: bytes | None = None) -> tuple[int, bytes]:
    """Status and content of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=0.5)
    try:
        connection.request(method, "/", body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def when_listening(proxy: Proxy) -> tuple[int, bytes]:
    """The answer once the listener is there, right after a change of mode."""
    for _ in range(100):
        try:
            return ask(proxy)
        except ConnectionRefusedError:
            threading.Event().wait(0.02)
    raise TimeoutError


def test_everything_passes(proxy: Proxy) -> None:
    assert when_listening(proxy) == (200, CONTENT)
    assert ask(proxy, "PUT", b"x" * 200_000) == (200, b"200000")
    assert proxy.num_lost == 0


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        ("reset", ConnectionResetError),
        ("hole", TimeoutError),
        ("lose", http.client.RemoteDisconnected),
        ("cut", (http.client.HTTPException, ConnectionError)),
    ],
)
def test_no_whole_answer(proxy: Proxy, mode: str, error: type[Exception]) -> None:
    when_listening(proxy)
    proxy.mode = mode
    with pytest.raises(error):
        ask(proxy)
    assert proxy.num_lost == 1
    proxy.mode = "pass"
    assert ask(proxy) == (200, CONTENT)


def test_nobody_listens(proxy: Proxy) -> None:
    when_listening(proxy)
    proxy.mode = "refuse"
    for _ in range(100):
        try:
            ask(proxy)
        except ConnectionRefusedError:
            break
        except OSError:
            threading.Event().wait(0.02)
    else:
        raise AssertionError("somebody listens")
    proxy.mode = "pass"
    assert when_listening(proxy) == (200, CONTENT)


def test_busy_and_full(proxy: Proxy) -> None:
    when_listening(proxy)
    proxy.mode = "busy"
    assert ask(proxy) == (503, b"")
    proxy.mode = "full"
    assert ask(proxy) == (200, CONTENT)
    assert ask(proxy, "PUT", b"x" * 200_000) == (507, b"")


def test_on_a_connection_that_is_kept(proxy: Proxy) -> None:
    when_listening(proxy)
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)
    for mode, status in (("pass", 200), ("full", 507)):
        proxy.mode = mode
        connection.request("PUT", "/", b"abc")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
    connection.close()
