"""TLS in front of a server that speaks none, as an ingress is."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading

_CHUNK = 65536


class TlsFront:
    """Passes what comes over TLS on to a port of loopback.

    Args:
        context: of a server, with its certificate.
        target_port: where the plain server listens.
    """

    def __init__(self, context: ssl.SSLContext, target_port: int) -> None:
        self._target_port = target_port
        # One thread for all: a TLS connection may not be read and written by two at once.
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        )
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no further connections, and break off those that are open."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                self._loop.run_until_complete(task)
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there = await asyncio.open_connection("127.0.0.1", self._target_port)
            await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))
        writer.close()


async def _pump(source: asyncio.StreamReader, drain: asyncio.StreamWriter) -> None:
    """Pass on until one side ends, which ends the other."""
    with contextlib.suppress(OSError):
        while data := await source.read(_CHUNK):
            drain.write(data)
            await drain.drain()
    drain.close()
