"""HTTP: requests come in, answers and streams go out."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml
from kube import protobuf
from kube.api import Reply
from kube.errors import ApiError
from kube.faults import Cut
from kube.requests import Request, parse
from kube.streams import Stream

LONGEST_BODY_BYTES = 3 * 1024 * 1024

Answer = Callable[[Request], tuple[Reply, Cut | None]]
"""From a request to its answer, and where that breaks off.

Raises ConnectionAbortedError to close the connection without one.
"""


class Listener(ThreadingHTTPServer):
    """Listens on loopback until it is closed; then every connection is gone.

    Args:
        port: to listen on, 0 for any that is free.
        answer: called in a thread for each connection.
        finished: called when a stream has ended.
        tls: context of a server with a certificate; None, plain HTTP.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        port: int,
        answer: Answer,
        finished: Callable[[Stream], None],
        tls: ssl.SSLContext | None,
    ) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.answer = answer
        self.finished = finished
        self._tls = tls
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection in its own thread, where a slow handshake holds up nobody."""
        if self._tls:
            request = self._tls.wrap_socket(request, server_side=True)
        with self._lock:
            self._connections.add(request)
        try:
            super().finish_request(request, client_address)
        finally:
            with self._lock:
                self._connections.discard(request)
            _close(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients may go at any time, which is no error."""

    def close(self) -> None:
        """Stop listening and cut all connections."""
        self.shutdown()
        self.server_close()
        self._thread.join()
        with self._lock:
            for connection in self._connections:
                _close(connection)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Listener

    def log_message(self, *_: Any) -> None:
        """Nothing on standard error."""

    def _serve(self) -> None:
        try:
            body = self._body()
        except ApiError as error:
            self._send(Reply(error.code, error.body(), {"Connection": "close"}), None)
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = parse(self.command, self.path, headers, body)
        try:
            reply, cut = self.server.answer(request)
        except ConnectionAbortedError:
            self._abort()
            return
        except Exception as error:  # A request that this server did not expect must not go unseen.
            why = ApiError(500, f"Internal error occurred: {error!r}")
            reply, cut = Reply(500, why.body()), None
        self._send(reply, cut)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def _body(self) -> Any:
        """The body, decoded; one that does not decode as it is."""
        size = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(
            size
        )  # Even of one that is too long, or its client would not hear why.
        if size > LONGEST_BODY_BYTES:
            raise ApiError(413, f"Request entity too large: limit is {LONGEST_BODY_BYTES}")
        kind = self.headers.get("Content-Type", "application/json")
        if not raw:
            return None
        if "protobuf" in kind:
            return protobuf.decoded(raw)
        try:
            return yaml.safe_load(raw) if "yaml" in kind else json.loads(raw)
        except (ValueError, yaml.YAMLError):
            return raw.decode(errors="replace")

    def _send(self, reply: Reply, cut: Cut | None) -> None:
        if isinstance(reply.body, Stream):
            self._send_stream(reply.body, cut)
            return
        text = isinstance(reply.body, str)
        data = str(reply.body).encode() if text else json.dumps(reply.body).encode() + b"\n"
        self.send_response(reply.code)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.code != 204:
            kind = "text/plain; charset=utf-8" if text else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: cut.after_bytes] if cut else data)
        self.wfile.flush()
        if cut:
            self._abort()

    def _send_stream(self, stream: Stream, cut: Cut | None) -> None:
        try:
            log = stream.request.subresource == "log"
            self.send_response(200)
            self.send_header("Content-Type", "text/plain" if log else "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.flush()
            for piece in cut.stream(stream) if cut else stream.pieces:
                if piece is None and self._nobody_listens():
                    stream.ending = "cut"
                    break
                self._chunk(piece)
            if cut and cut.error:
                event = {"type": "ERROR", "object": cut.error.body()}
                self._chunk(json.dumps(event).encode() + b"\n")
        finally:
            self.server.finished(stream)
        if stream.ending == "cut":
            self._abort()
        else:
            self.wfile.write(b"0\r\n\r\n")
            self.wfile.flush()

    def _chunk(self, piece: bytes | None) -> None:
        if piece:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()

    def _nobody_listens(self) -> bool:
        """While it reads a stream a client sends nothing, unless it hangs up."""
        return bool(select.select([self.connection], [], [], 0)[0])

    def _abort(self) -> None:
        self.close_connection = True
        _close(self.connection)


def _close(connection: socket.socket) -> None:
    """Cut a connection, whoever reads from it."""
    with contextlib.suppress(OSError):  # The client may be faster.
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
