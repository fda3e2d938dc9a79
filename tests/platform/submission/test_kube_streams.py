"""Watches and logs of the API server of the tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from kube import errors
from kube.clock import stamp
from kube.faults import Cut
from kube.samples import config_map, pod
from kube.server import KubeServer
from kubernetes import client, config, watch
from kubernetes.client import ApiException
from urllib3.exceptions import ProtocolError


@pytest.fixture
def server() -> Iterator[KubeServer]:
    with KubeServer() as running:
        yield running


@pytest.fixture
def core(server: KubeServer, tmp_path: Path) -> client.CoreV1Api:
    return client.CoreV1Api(config.new_client_from_config(str(server.kubeconfig(tmp_path))))


class Watcher:
    """Watches pods in a thread by the official client, until its connection breaks."""

    def __init__(self, server: KubeServer, core: client.CoreV1Api, **options: Any) -> None:
        self.seen: list[tuple[str, str]] = []
        self.last: dict[str, Any] = {}
        self.error: Exception | None = None
        self._store = server.store
        self._stream = watch.Watch().stream(core.list_namespaced_pod, "default", **options)
        Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            for event in self._stream:
                with self._store.changed:
                    self.last = event["raw_object"]
                    self.seen.append((event["type"], self.last["metadata"].get("name", "")))
                    self._store.changed.notify_all()
        except Exception as error:
            with self._store.changed:
                self.error = error
                self._store.changed.notify_all()

    def until(self, *seen: tuple[str, str]) -> None:
        """Wait for exactly these events."""
        self._store.wait(lambda: len(self.seen) >= len(seen))
        assert self.seen == list(seen)


def test_a_watch_sees_what_is_there_and_what_happens(
    server: KubeServer, core: client.CoreV1Api
) -> None:
    server.store.put(pod("a", labels={"app": "x"}))
    server.store.put(pod("b"))
    watcher = Watcher(server, core, label_selector="app=x")
    watcher.until(("ADDED", "a"))
    server.store.patch("pods", "b", {"metadata": {"labels": {"app": "x"}}})
    server.kubelet.run("b")
    server.store.patch("pods", "a", {"metadata": {"labels": {"app": "y"}}})
    server.store.delete("pods", "b")
    watcher.until(
        ("ADDED", "a"),
        ("ADDED", "b"),
        ("MODIFIED", "b"),
        ("DELETED", "a"),  # It no longer matches.
        ("MODIFIED", "b"),  # It runs on a node, whose kubelet ends it.
        ("DELETED", "b"),
    )


@pytest.mark.parametrize("clean", [True, False])
def test_a_dropped_watch_goes_on_where_it_was(
    server: KubeServer, core: client.CoreV1Api, clean: bool
) -> None:
    server.store.put(pod("a"))
    watcher = Watcher(server, core)
    watcher.until(("ADDED", "a"))
    server.drop_watches(clean=clean)
    if not clean:  # The official client leaves it to the caller to begin again.
        assert isinstance(server.wait(lambda: watcher.error), ProtocolError)
        return
    server.store.put(pod("b"))
    watcher.until(("ADDED", "a"), ("ADDED", "b"))
    assert len(server.calls("watch")) == 2


def test_a_watch_from_too_long_ago_is_gone(server: KubeServer, core: client.CoreV1Api) -> None:
    old = server.store.put(pod("a"))["metadata"]["resourceVersion"]
    server.store.put(pod("b"))
    fresh = watch.Watch().stream(
        core.list_namespaced_pod, "default", resource_version=old, timeout_seconds=1
    )
    assert next(fresh)["object"].metadata.name == "b"
    server.store.compact()
    late = watch.Watch().stream(
        core.list_namespaced_pod, "default", resource_version=old, timeout_seconds=1
    )
    with pytest.raises(ApiException, match="too old resource version") as error:
        next(late)
    assert error.value.status == 410


def test_a_watch_breaks_off_after_events(server: KubeServer, core: client.CoreV1Api) -> None:
    for name in "abc":
        server.store.put(pod(name))
    gone = errors.ApiError(410, "too old resource version: 1 (2)")
    server.fail(Cut(after_lines=2, error=gone), verb="watch", resource="pods")
    seen = []
    with pytest.raises(ApiException, match="too old"):  # noqa: PT012
        for event in watch.Watch().stream(core.list_namespaced_pod, "default", timeout_seconds=9):
            seen.append(event["object"].metadata.name)
    assert seen == ["a", "b"]


def test_bookmarks_carry_the_version_on(server: KubeServer, core: client.CoreV1Api) -> None:
    watcher = Watcher(server, core, allow_watch_bookmarks=True)
    server.wait(lambda: server.watches("pods"))
    server.store.put(config_map("c"))
    server.send_bookmarks()
    watcher.until(("BOOKMARK", ""))


def test_a_watch_may_begin_with_a_list(server: KubeServer, core: client.CoreV1Api) -> None:
    server.store.put(pod("a"))
    watcher = Watcher(
        server,
        core,
        allow_watch_bookmarks=True,
        send_initial_events=True,
        resource_version_match="NotOlderThan",
    )
    watcher.until(("ADDED", "a"), ("BOOKMARK", ""))
    assert watcher.last["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def lines(core: client.CoreV1Api, **options: Any) -> list[str]:
    # The official client makes None of an empty answer.
    return (core.read_namespaced_pod_log("p", "default", **options) or "").splitlines()


def test_a_log_is_followed_to_its_end(server: KubeServer, core: client.CoreV1Api) -> None:
    server.store.put(pod("p"))
    assert lines(core) == []  # Without a node there is no log, and no error.
    for reason, why in (
        ("ContainerCreating", "ContainerCreating"),
        ("ImagePullBackOff", "trying and failing to pull image"),
    ):
        server.kubelet.hold("p", reason)
        with pytest.raises(ApiException) as error:
            lines(core)
        assert error.value.status == 400
        message = f'container \\"main\\" in pod \\"p\\" is waiting to start: {why}'
        assert message in error.value.body
    server.log("p", "one")
    followed = watch.Watch().stream(core.read_namespaced_pod_log, "p", "default")
    assert next(followed) == "one"
    server.log("p", "two")
    assert next(followed) == "two"
    server.kubelet.exit("p", 3)
    assert list(followed) == []
    assert server.store.get("pods", "p")["status"]["phase"] == "Failed"
    assert core.read_namespaced_pod("p", "default").status.container_statuses[0].state.terminated


def test_logs_in_parts(server: KubeServer, core: client.CoreV1Api) -> None:
    server.store.put(pod("p", ("main", "side")))
    for tenths in (0, 5, 10, 15):
        server.kubelet.log("p", f"at {tenths}", time_ns=(1_000_000_000 + tenths) * 10**8)
    server.log("p", "other", container="side")
    with pytest.raises(ApiException, match=r"choose one of: \[main side\]"):
        lines(core)
    with pytest.raises(ApiException, match="container no is not valid for pod p"):
        lines(core, container="no")
    assert lines(core, container="side") == ["other"]
    assert lines(core, container="main", tail_lines=1) == ["at 15"]
    path = "/api/v1/namespaces/default/pods/p/log?container=main&"
    since = core.api_client.call_api  # sinceTime is none of the official client's arguments.
    url = f"{server.url}{path}sinceTime={stamp(1_000_000_015 * 10**8)}"
    answer = since("GET", url)
    answer.read()
    # The second is what counts, so that its earlier lines come again.
    assert answer.data.decode().splitlines() == ["at 10", "at 15"]
    stamped = lines(core, container="main", tail_lines=1, timestamps=True)
    assert stamped == ["1973-03-03T09:46:41.500000000Z at 15"]


def test_a_container_that_runs_again_has_a_log_of_its_own(
    server: KubeServer, core: client.CoreV1Api
) -> None:
    server.store.put(pod("p"))
    server.log("p", "first life")
    with pytest.raises(ApiException, match="previous terminated container"):
        lines(core, previous=True)
    server.kubelet.exit("p", 137, "OOMKilled")
    server.kubelet.hold("p", "CrashLoopBackOff")
    assert lines(core) == ["first life"]
    server.log("p", "second life")
    assert lines(core) == ["second life"]
    assert lines(core, previous=True) == ["first life"]
    (status,) = server.store.get("pods", "p")["status"]["containerStatuses"]
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["reason"] == "OOMKilled"


def test_a_followed_log_breaks_off(server: KubeServer, core: client.CoreV1Api) -> None:
    server.store.put(pod("p"))
    server.log("p", "one")
    followed = watch.Watch().stream(core.read_namespaced_pod_log, "p", "default")
    assert next(followed) == "one"
    server.cut_logs()
    with pytest.raises(ProtocolError):
        next(followed)
    server.log("p", "two")
    server.fail(Cut(after_bytes=6), resource="pods/log")
    followed = watch.Watch().stream(core.read_namespaced_pod_log, "p", "default")
    assert next(followed) == "one"
    with pytest.raises(ProtocolError):
        next(followed)
