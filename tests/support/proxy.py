"""A TCP proxy in front of a server: it refuses, dawdles or loses answers on demand."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

from gloo import free_port


class Proxy:
    """A TCP proxy whose ``mode`` may be changed at any time.

    ``pass``; ``slow``: every answer waits ``delay_s``; ``refuse``: nobody listens;
    ``lose``: requests arrive, answers do not.
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
            with upstream:
                back = threading.Thread(
                    target=self._pump_back, args=(upstream, client), daemon=True
                )
                back.start()
                while data := client.recv(65536):
                    if self.mode == "refuse":
                        return
                    upstream.sendall(data)

    def _pump_back(self, upstream: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := upstream.recv(65536):
                if self.mode == "slow":
                    time.sleep(self.delay_s)
                if self.mode in ("lose", "refuse"):
                    self.num_lost += 1
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)
