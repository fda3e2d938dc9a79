"""A Kubernetes API server in the process of a test, for the official client and for kubectl."""

from __future__ import annotations

import base64
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
from kube import errors
from kube.access import Access
from kube.access import Rule as AccessRule
from kube.api import Api, Reply
from kube.clock import now
from kube.errors import ApiError, Cause
from kube.faults import Close, Cut, Fault, Faults, Hang, Rule
from kube.kubelet import Kubelet
from kube.requests import Request
from kube.resources import Registry
from kube.store import Json, Store
from kube.streams import Stream, Streams
from kube.tls import certificate
from kube.web import Listener


class KubeServer:
    """An API server on loopback, as a context manager.

    Args:
        token: that clients must bear; None, anybody may come.
        tls: serve HTTPS, by a certificate that the kubeconfig has.
        user: name of whoever asks.

    Attributes:
        store: the objects, for tests to put, patch and delete as controllers would.
        kubelet: moves pods through their lives and writes their logs.
        validators: plural -> says what is wrong with such an object, by ``errors.cause``.
        requests: every request that came, in order.
    """

    def __init__(
        self, *, token: str | None = None, tls: bool = False, user: str = "tester"
    ) -> None:
        self.store = Store(Registry())
        self.requests: list[Request] = []
        self._token = token
        self._access = Access(user)
        self._api = Api(self.store, self._access, token)
        self.validators = self._api.objects.validators
        self.kubelet = Kubelet(self.store, self._api.logs)
        self._faults = Faults()
        self._streams = Streams()
        self._authority: bytes | None = None
        self._tls: ssl.SSLContext | None = None
        if tls:
            self._authority, self._tls = certificate()
        self._stopped = threading.Event()
        self._port = 0
        self._listener: Listener | None = None

    def __enter__(self) -> KubeServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, on the same port as before if it was stopped."""
        self._stopped.clear()
        self._listener = Listener(self._port, self._answer, self._finished, self._tls)
        self._port = self._listener.server_port

    def stop(self) -> None:
        """Cut all connections and refuse new ones; objects stay, for another start."""
        self._stopped.set()
        self.drop_watches(clean=False)
        self.cut_logs()
        if self._listener:
            self._listener.close()
            self._listener = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    def kubeconfig(
        self, folder: Path, *, namespace: str = "default", token: str | None = None
    ) -> Path:
        """A kubeconfig file in a folder; with another token than the right one if that is given."""
        cluster: Json = {"server": self.url}
        if self._authority:
            cluster["certificate-authority-data"] = base64.b64encode(self._authority).decode()
        bears = token or self._token
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "tester", "user": {"token": bears} if bears else {}}],
            "contexts": [
                {
                    "name": "test",
                    "context": {"cluster": "test", "user": "tester", "namespace": namespace},
                }
            ],
        }
        file = folder / "kubeconfig"
        file.write_text(yaml.safe_dump(config))
        file.chmod(0o600)
        return file

    def calls(self, verb: str, resource: str | None = None) -> list[Request]:
        """The requests of a verb, and a resource (``pods/log``) if one is named."""
        with self.store.changed:
            return [
                request
                for request in self.requests
                if request.verb == verb and resource in (None, request.resource)
            ]

    def fail(self, fault: int | Fault, *, times: int = 1, **wanted: Any) -> None:
        """The next requests of some kind fail.

        Args:
            fault: an HTTP status (410 of a watch is an answer, not an event), or a ``Close``,
                ``Hang``, ``Cut`` or ``ApiError``.
            times: how many requests get it.
            **wanted: which: ``verb resource name namespace path method``; of a status code also its
                ``message``, ``reason``, ``causes`` and ``retry_after_s``.
        """
        if isinstance(fault, int):
            parts = ("message", "reason", "causes", "retry_after_s")
            said = {key: wanted.pop(key) for key in parts if key in wanted}
            fault = refusal(fault, **said)
        with self.store.changed:
            self._faults.add(Rule(fault, wanted, times))

    def heal(self) -> None:
        """No more faults."""
        with self.store.changed:
            self._faults.clear()

    def forbid(self, verb: str, resource: str, namespace: str | None = None) -> None:
        """The user may not; ``*`` is any verb or resource. Requests get 403, reviews say no."""
        self._access.add(AccessRule(False, verb, resource, namespace))

    def permit(self, verb: str, resource: str, namespace: str | None = None) -> None:
        """The user may, whatever was forbidden before."""
        self._access.add(AccessRule(True, verb, resource, namespace))

    def uninstall(self, group: str) -> None:
        """Remove a group of custom resources: ``ray.io``, KubeRay is not installed."""
        with self.store.changed:
            self.store.uninstall(group)
            watches = self._streams.of("watch")
            self._end([stream for stream in watches if stream.request.group == group], clean=True)

    def watches(self, resource: str | None = None) -> int:
        """How many watches are open."""
        with self.store.changed:
            return len(self._streams.of("watch", resource))

    def drop_watches(self, resource: str | None = None, *, clean: bool = True) -> None:
        """End the open watches, in order or in mid-stream."""
        self._end(self._streams.of("watch", resource), clean)

    def cut_logs(self, *, clean: bool = False) -> None:
        """End the logs that are being followed, in mid-stream or in order."""
        self._end(self._streams.of("get"), clean)

    def send_bookmarks(self) -> None:
        """A bookmark for each open watch that allows them."""
        with self.store.changed:
            for stream in self._streams.of("watch"):
                stream.bookmark = True
            self.store.changed.notify_all()

    def wait(self, happened: Callable[[], Any], timeout_s: float = 60.0) -> Any:
        """Wait until something is true of the server or its objects; its value.

        Raises:
            TimeoutError: it has not become true.
        """
        return self.store.wait(happened, timeout_s)

    def log(self, pod: str, line: str, **where: str) -> None:
        """A line for a pod's log; ``container`` and ``namespace`` say where."""
        self.kubelet.log(pod, line, **where)

    def event(
        self, about: Mapping[str, Any], reason: str, message: str, kind: str = "Warning"
    ) -> Json:
        """An event about an object, as a scheduler, kubelet or operator tells it."""
        metadata = about["metadata"]
        namespace = metadata.get("namespace", "default")
        with self.store.changed:
            name = f"{metadata['name']}.{self.store.revision:x}"
            found = {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": name, "namespace": namespace},
                "involvedObject": {
                    "apiVersion": about["apiVersion"],
                    "kind": about["kind"],
                    **{
                        key: metadata[key]
                        for key in ("name", "namespace", "uid")
                        if key in metadata
                    },
                },
                "reason": reason,
                "message": message,
                "type": kind,
                "count": 1,
                "firstTimestamp": now(),
                "lastTimestamp": now(),
                "source": {"component": "test"},
                "reportingComponent": "test",
                "reportingInstance": "",
            }
            return self.store.put(found)

    def _end(self, chosen: list[Stream], clean: bool) -> None:
        with self.store.changed:
            self._streams.end(chosen, "ended" if clean else "cut")
            self.store.changed.notify_all()

    def _answer(self, request: Request) -> tuple[Reply, Cut | None]:
        with self.store.changed:
            self.requests.append(request)
            fault = self._faults.take(request)
            self.store.changed.notify_all()
        if isinstance(fault, Hang) and self._stopped.wait(fault.seconds):
            raise ConnectionAbortedError
        if isinstance(fault, Close):
            raise ConnectionAbortedError
        if isinstance(fault, ApiError):
            return Reply(fault.code, fault.body(), fault.headers), None
        reply = self._api.answer(request)
        if isinstance(reply.body, Stream):
            with self.store.changed:
                self._streams.add(reply.body)
                self.store.changed.notify_all()
        return reply, fault if isinstance(fault, Cut) else None

    def _finished(self, stream: Stream) -> None:
        with self.store.changed:
            self._streams.remove(stream)
            self.store.changed.notify_all()


def refusal(
    code: int,
    message: str | None = None,
    reason: str | None = None,
    causes: Iterable[Cause] = (),
    retry_after_s: int | None = None,
) -> ApiError:
    """An error of a status code, with the API server's words unless others are given."""
    message = message or errors.MESSAGES.get(code, f"{errors.REASONS[code]} by the test")
    details: Json = {"causes": list(causes)} if causes else {}
    headers = {}
    if code == 429 and retry_after_s is None:
        retry_after_s = 1
    if retry_after_s is not None:
        details["retryAfterSeconds"] = retry_after_s
        headers["Retry-After"] = str(retry_after_s)
    return ApiError(code, message, reason=reason, details=details, headers=headers)
