"""What can be wrong with the address of a cluster: one clear line each, within seconds."""

from __future__ import annotations

import http.server
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from gloo import free_port
from kube.tls import certificate

from trainwright.errors import InputError
from trainwright.submission.ray_jobs import client, errors
from trainwright.submission.ray_jobs.target import RayTarget
from trainwright.submission.target import TargetError

Answer = Callable[[http.server.BaseHTTPRequestHandler], tuple[int, str]]


def of_ray(version: str = "2.60.0") -> Answer:
    """A dashboard without jobs."""

    def answer(request: http.server.BaseHTTPRequestHandler) -> tuple[int, str]:
        is_version = request.path.endswith("/api/version")
        return 200, json.dumps({"ray_version": version} if is_version else [])

    return answer


@contextmanager
def serving(answer: Answer, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port of a server on loopback that answers every GET so."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answer(self)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def _no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(client, "_PAUSES_S", (0.0, 0.0))


def told(url: str, ca_file: Path | None = None) -> str:
    """What is said of an address that cannot be used."""
    with pytest.raises(TargetError) as refused:
        RayTarget(url, ca_file).all()
    (problem,) = refused.value.problems
    assert problem.path == "--to"
    assert problem.mend
    assert "\n" not in problem.message + problem.mend
    return f"{problem.message}; {problem.mend}"


def test_nobody_listens() -> None:
    said = told(f"http://127.0.0.1:{free_port()}")
    assert "nothing listens there" in said
    assert "ray start --head" in said
    assert "ray[default]" in said


def test_a_name_that_is_no_machines() -> None:
    assert "no machine of that name" in told("http://nobody.invalid:8265")


def test_a_server_that_takes_the_connection_and_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ANSWER_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "does not answer in time" in told(f"http://127.0.0.1:{silent.getsockname()[1]}")


@pytest.mark.parametrize(
    ("said", "says"),
    [(b"", "closes the connection"), (b"\0\0\x18\4\0\r\n\r\n", "does not speak HTTP")],
    ids=["nothing", "grpc"],
)
def test_a_server_of_another_kind(said: bytes, says: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as rude:

        def serve() -> None:
            connection, _ = rude.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(said)

        threading.Thread(target=serve, daemon=True).start()
        assert says in told(f"http://127.0.0.1:{rude.getsockname()[1]}")


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (404, "not found", "no dashboard of Ray's answers there: HTTP 404"),
        (200, "<html>a page</html>", "no dashboard of Ray's answers there: what it sends"),
        (200, "{}", "no dashboard of Ray's answers there: what it sends"),
        (200, "[]", "no dashboard of Ray's answers there: what it sends"),
        (500, "Traceback\n  x\nValueError: broken\n.\n", "with HTTP 500: ValueError: broken"),
        (502, "<html>Bad gateway</html>", "with HTTP 502; "),
        (401, "who are you", "asks for a token (HTTP 401), and none was found"),
        (403, "go away", "asks for a token (HTTP 403), and none was found"),
    ],
    ids=["404", "html", "empty", "list", "500", "502", "401", "403"],
)
def test_something_else_answers(status: int, body: str, says: str) -> None:
    with serving(lambda _: (status, body)) as port:
        assert says in told(f"http://127.0.0.1:{port}")


def test_a_version_of_ray_in_which_jobs_would_not_run() -> None:
    with serving(of_ray("2.9.3")) as port:
        said = told(f"http://127.0.0.1:{port}")
    assert "the cluster runs Ray 2.9.3" in said
    assert "pip install 'ray[default]==" in said


def test_the_address_of_the_user_wins_and_proxies_are_left_aside_on_loopback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    asked: list[str | None] = []

    def answer(request: http.server.BaseHTTPRequestHandler) -> tuple[int, str]:
        asked.append(request.headers["Authorization"])
        return of_ray()(request)

    monkeypatch.setenv("RAY_AUTH_TOKEN", "a-token-of-the-user")
    (tmp_path / ".netrc").write_text("default login someone password else\n")
    with serving(answer) as port:
        for host in ("127.0.0.1", "localhost"):
            assert RayTarget(f"http://{host}:{port}/ray").all() == []
    assert set(asked) == {"Bearer a-token-of-the-user"}


def test_no_token_is_sent_where_the_user_wants_none(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    def answer(request: http.server.BaseHTTPRequestHandler) -> tuple[int, str]:
        asked.append(request.headers["Authorization"])
        return of_ray()(request)

    monkeypatch.setenv("RAY_AUTH_TOKEN", "a-token-of-the-user")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with serving(answer) as port:
        assert RayTarget(f"http://127.0.0.1:{port}").all() == []
    assert set(asked) == {None}


def test_a_busy_server_is_asked_again() -> None:
    num_asked = 0

    def answer(request: http.server.BaseHTTPRequestHandler) -> tuple[int, str]:
        nonlocal num_asked
        num_asked += 1
        return (503, "busy") if num_asked in (2, 3) else of_ray()(request)

    with serving(answer) as port:
        assert RayTarget(f"http://127.0.0.1:{port}").all() == []
    assert num_asked == 4


def test_a_certificate_that_nobody_here_knows(tmp_path: Path) -> None:
    pem, context = certificate()
    (tmp_path / "ca.pem").write_bytes(pem)
    with serving(of_ray(), context) as port:
        said = told(f"https://127.0.0.1:{port}")
        assert "the server's certificate does not hold: self" in said
        assert "--ca-file" in said
        assert RayTarget(f"https://127.0.0.1:{port}", tmp_path / "ca.pem").all() == []
        assert "closes the connection" in told(f"http://127.0.0.1:{port}")


def test_a_certificate_of_another_machine(tmp_path: Path) -> None:
    pem, context = certificate("192.0.2.7")
    (tmp_path / "ca.pem").write_bytes(pem)
    with serving(of_ray(), context) as port:
        said = told(f"https://127.0.0.1:{port}", tmp_path / "ca.pem")
    assert "certificate does not hold: IP address mismatch" in said
    assert "that the certificate was made for" in said


def test_a_server_without_tls() -> None:
    with serving(of_ray()) as port:
        said = told(f"https://127.0.0.1:{port}")
    assert "no TLS connection" in said
    assert f"http://127.0.0.1:{port}" in said


def test_certificates_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        RayTarget("https://h", tmp_path / "ca.pem")
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(InputError, match="holds no certificates"):
        RayTarget("https://h", tmp_path / "ca.pem")
    with pytest.raises(InputError, match="means nothing with http://"):
        RayTarget("http://h", tmp_path / "ca.pem")


def test_a_password_in_the_address_is_not_told() -> None:
    target = RayTarget("https://me:hunter2hunter2@h:1")
    assert "hunter2" not in target.label + " ".join(target.options)
    assert "hunter2" not in str(errors.no_dashboard("https://me:hunter2hunter2@h:1", "x"))
