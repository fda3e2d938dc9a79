"""A proxy on loopback between a client and an HTTP server, which misbehaves on demand."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time

WRITES = (b"PUT ", b"POST ")
_CHUNK = 65536


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Proxy:
    """Passes everything on, until ``mode`` says otherwise; it may be changed at any time.

    ``pass``; ``refuse``: nobody listens; ``reset``: connections are broken off; ``hole``: requests
    are taken and never answered; ``lose``: requests arrive at the server, answers do not come back;
    ``slow``: every piece of an answer waits ``delay_s``; ``cut``: an answer ends in the middle of
    its body; ``busy``: 503 to every request; ``full``: 507 to every request that writes.

    Args:
        target_port: where the server listens.

    Attributes:
        mode: see above.
        delay_s: for ``slow``.
        num_lost: requests and answers that did not get through.
    """

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.mode = "pass"
        self.delay_s = 0.0
        self.num_lost = 0
        self._target_port = target_port
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it; connections that are open are left to their clients."""
        self._over.set()
        self._thread.join(5)

    def _listen(self) -> None:
        listener: socket.socket | None = None
        while not self._over.is_set():
            if self.mode == "refuse":
                if listener is not None:
                    listener.close()
                    listener = None
                time.sleep(0.02)
                continue
            if listener is None:
                listener = socket.create_server(("127.0.0.1", self.port))
                listener.settimeout(0.05)
            with contextlib.suppress(TimeoutError):
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()
        if listener is not None:
            listener.close()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            upstream = socket.create_connection(("127.0.0.1", self._target_port), 5)
            upstream.settimeout(None)  # an answer may take its time
            with upstream:
                back = threading.Thread(
                    target=self._pump_back, args=(upstream, client), daemon=True
                )
                back.start()
                try:
                    while data := client.recv(_CHUNK):
                        if self._stands_in_the_way(client, data):
                            return
                        upstream.sendall(data)
                finally:
                    upstream.shutdown(socket.SHUT_RDWR)  # wakes who waits for an answer

    def _stands_in_the_way(self, client: socket.socket, data: bytes) -> bool:
        """Whether a piece of a request must not be passed on, and its connection ends."""
        mode = self.mode
        if mode in ("pass", "slow", "lose", "cut") or (
            mode == "full" and not data.startswith(WRITES)
        ):
            return False
        self.num_lost += 1
        if mode == "hole":
            while self.mode == "hole" and not self._over.is_set():
                time.sleep(0.05)
        elif mode in ("busy", "full"):
            _answer(client, "503 Slow Down" if mode == "busy" else "507 Insufficient Storage")
        elif mode == "reset":
            _reset(client)
        return True

    def _pump_back(self, upstream: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := upstream.recv(_CHUNK):
                if self.mode == "slow":
                    time.sleep(self.delay_s)
                if self.mode in ("lose", "refuse", "cut"):
                    self.num_lost += 1
                    if self.mode == "cut":
                        client.sendall(_beginning(data, upstream))
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)


def _answer(client: socket.socket, status: str) -> None:
    """An empty answer; what is left of the request is taken first, or it would be a reset."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    client.sendall(head.encode())
    client.shutdown(socket.SHUT_WR)
    client.settimeout(1.0)
    with contextlib.suppress(OSError):
        while client.recv(_CHUNK):
            pass


def _beginning(data: bytes, upstream: socket.socket) -> bytes:
    """The head of an answer and half of what is there of its body; nothing of one without."""
    head, mark, body = data.partition(b"\r\n\r\n")
    if not body:
        upstream.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            body = upstream.recv(_CHUNK)
    return head + mark + body[: len(body) // 2] if body else b""


def _reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
