"""A job followed over connections that break, and a server that goes away."""

from __future__ import annotations

import threading

import pytest
from followers import Following, started
from kube.faults import Close, Cut
from kube.server import KubeServer
from ray_operator import Operator

from trainwright.submission.kubernetes.following import THREADS
from trainwright.submission.target import Submission, TargetError, TargetLost


def test_connections_that_break_lose_nothing(
    server: KubeServer, operator: Operator, following: Following
) -> None:
    started(operator)
    expected = [f"line {number}" for number in range(40)]
    server.fail(Cut(after_lines=3), verb="get", resource="pods/log")
    server.fail(Cut(after_bytes=100), verb="get", resource="pods/log")
    server.fail(Close(), verb="get", resource="pods/log")
    server.fail(500, verb="get", resource="pods/log")
    operator.log(*expected[:20])
    following.until("line 19")
    server.cut_logs()
    operator.log(*expected[20:30])
    following.until("line 29")
    server.cut_logs(clean=True)
    operator.log(*expected[30:])
    operator.end()
    assert following.rest().state == "finished"
    assert following.lines == expected


def test_watches_that_break_lose_nothing(
    server: KubeServer, operator: Operator, following: Following
) -> None:
    following.until("waiting")
    server.wait(lambda: server.watches("rayjobs"))
    server.drop_watches()
    operator.begin()
    following.until("its pods begin")
    server.wait(lambda: server.watches("rayjobs"))
    server.drop_watches()
    server.wait(lambda: len(server.calls("watch")) > 2)
    versions = [call.query["resourceVersion"] for call in server.calls("watch")]
    assert versions[2] != versions[0]  # what was told is not told again
    server.wait(lambda: server.watches("rayjobs"))
    # Between two watches so much happens that the server forgets where the first one was.
    server.fail(410, verb="watch")
    server.drop_watches(clean=False)
    operator.submit()
    operator.run()
    following.until("running")
    server.wait(lambda: server.watches("rayjobs"))
    server.send_bookmarks()
    server.fail(503, verb="watch")
    server.drop_watches()
    operator.log("x")
    operator.end()
    assert following.rest().state == "finished"
    assert following.lines == ["x"]


def test_a_version_expires_within_a_watch(
    server: KubeServer, operator: Operator, following: Following
) -> None:
    from kube.server import refusal

    expired = refusal(410, "too old resource version", "Expired")
    server.fail(Cut(after_lines=1, error=expired), verb="watch")
    following.until("waiting")
    started(operator)
    operator.log("x")
    operator.end()
    assert following.rest().state == "finished"
    assert len(server.calls("list", "rayjobs")) >= 2


def test_a_server_that_comes_back(
    server: KubeServer, operator: Operator, following: Following
) -> None:
    started(operator)
    operator.log("a")
    following.until("a")
    server.stop()
    server.start()
    operator.log("b")
    operator.end()
    assert following.rest().state == "finished"
    assert following.lines == ["a", "b"]


def test_a_server_that_does_not_come_back(
    server: KubeServer, operator: Operator, following: Following
) -> None:
    operator.begin()
    following.until("its pods begin")
    server.stop()
    with pytest.raises(TargetLost, match=r"namespace default has not answered for .* goes on"):
        following.rest()
    texts = [event.says for event in following.told if isinstance(event, Submission)]
    assert texts[-1] == "the API server does not answer now; trying again"
    server.start()


@pytest.mark.parametrize(
    ("verb", "resource"), [("get", "pods/log"), ("watch", "rayjobs"), ("list", "pods")]
)
def test_rights_that_are_missing(
    server: KubeServer, operator: Operator, following: Following, verb: str, resource: str
) -> None:
    server.forbid(verb, resource)
    started(operator)
    operator.log("a")
    with pytest.raises(TargetError) as refused:
        following.rest()
    assert f"tester may not {verb} {resource}" in str(refused.value)


def test_closing_ends_the_threads(
    server: KubeServer, operator: Operator, following: Following
) -> None:
    def ours() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == THREADS]

    started(operator)
    operator.log("a")
    following.until("a")
    assert ours()
    following.close()
    server.drop_watches()
    server.cut_logs()
    for thread in ours():
        thread.join(timeout=60)
    assert not ours()
