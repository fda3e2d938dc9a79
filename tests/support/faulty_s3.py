"""An S3 server in this process that fails when it is told to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

ERROR = b"<Error><Code>InternalError</Code><Message>not now</Message></Error>"


class FaultyS3:
    """Answers 500 where ``fails`` says so.

    Attributes:
        url: of the server.
        fails: asked for the path of every request for a part of an object.
        failed: how many were refused.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.fails: Callable[[str], bool] = lambda path: False
        self.failed = 0
        self._app = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "GET" and "HTTP_RANGE" in environ:
            with self._lock:
                fails = self.fails(environ["PATH_INFO"])
                self.failed += fails
            if fails:
                headers = [("Content-Type", "text/xml"), ("Content-Length", str(len(ERROR)))]
                start_response("500 Internal Server Error", headers)
                return [ERROR]
        answer: Iterable[bytes] = self._app(environ, start_response)
        return answer


@contextmanager
def faulty_s3() -> Iterator[FaultyS3]:
    """A running server."""
    store = FaultyS3("")
    server = make_server("127.0.0.1", 0, store, threaded=True)
    store.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
