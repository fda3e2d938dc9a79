"""A job followed to its end over pods and attempts that come and go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from followers import Following, started
from kube.faults import Cut
from kube.server import KubeServer
from kube_targets import target_of
from ray_operator import Operator

from trainwright.submission.target import TargetError


def test_from_nothing_to_the_end(
    server: KubeServer, operator: Operator, following: Following
) -> None:
    following.until("KubeRay has not looked at it yet")
    operator.begin()
    following.until("its pods begin: head 0 of 1, workers 0 of 1")
    operator.submit()
    following.until("submitter 0 of 1")
    operator.run()
    operator.log("epoch 1", "", "loss \t0.5 \x1b[1mbold")
    following.until("loss")
    operator.note(progress='{"step":2,"total":4,"unit":"steps"}', run="digits-9f")
    operator.log("epoch 2")
    operator.end()
    last = following.rest()
    assert following.lines == ["epoch 1", "", "loss \t0.5 \x1b[1mbold", "epoch 2"]
    assert following.states == ["waiting", "running", "finished"]
    assert (last.state, last.run, last.progress.percent) == ("finished", "digits-9f", 50)  # type: ignore[union-attr]


def test_one_that_has_ended_is_told_whole(operator: Operator, following: Following) -> None:
    started(operator)
    operator.log("a", "b")
    operator.end("FAILED", reason="AppFailed", message="failed with exit code 3, x\nBoom")
    last = following.rest()
    assert following.lines == ["a", "b"]
    assert (last.state, last.says) == ("failed", "exit status 3: Boom")


def test_a_second_submitter_repeats_nothing(
    server: KubeServer, operator: Operator, following: Following
) -> None:
    first = started(operator)
    operator.log("Waiting for Ray Dashboard GCS to become healthy at http://x ...", "a", "b")
    following.until("b")
    operator.submitter_again()
    server.kubelet.exit(first, 1)
    operator.log("a", "b", "c")
    operator.end()
    following.rest()
    assert following.lines == ["a", "b", "c"]


def test_a_container_that_begins_again_repeats_nothing(
    server: KubeServer, operator: Operator, following: Following
) -> None:
    pod = started(operator)
    operator.log("a", "b")
    following.until("b")
    with server.store.changed:
        # In the moment in which the container ends it says why, to nobody.
        server.cut_logs()
        operator.log("c")
        server.kubelet.exit(pod, 1)
        server.store.patch("pods", pod, {"status": {"phase": "Running"}})
        server.kubelet.run(pod)
    operator.log("a", "b", "d")
    operator.end()
    following.rest()
    assert following.lines == ["a", "b", "c", "d"]


def test_attempts(server: KubeServer, operator: Operator, following: Following) -> None:
    started(operator)
    operator.log("a", "dies")
    following.until("dies")
    server.kubelet.exit(operator.submitter)
    operator.retry(reason="AppFailed", message="failed with exit code 1, x\ny")
    started(operator)
    operator.log("a", "goes on")
    operator.end()
    last = following.rest()
    assert following.lines == ["a", "dies", "attempt 2 of 4 begins", "a", "goes on"]
    assert last.details["attempt"] == "2 of 4"
    assert following.states[-1] == "finished"


def test_stopped_by_somebody(
    server: KubeServer, operator: Operator, following: Following, name: str
) -> None:
    started(operator)
    operator.log("a")
    following.until("a")
    server.store.patch("rayjobs", name, {"spec": {"suspend": True}})
    following.until("it is being stopped")
    operator.suspend()
    assert following.rest().state == "stopped"
    assert following.lines == ["a"]


def test_deleted_by_somebody(server: KubeServer, following: Following, name: str) -> None:
    following.until("waiting")
    server.wait(lambda: server.watches("rayjobs"))
    server.store.delete("rayjobs", name)
    last = following.rest()
    assert (last.state, last.says) == ("stopped", "it is being deleted")


def test_a_submitter_that_never_ends(operator: Operator, name: str) -> None:
    """KubeRay ends a job that took too long, and its submitter goes on waiting for it."""
    target = target_of()
    target._pace = replace(target._pace, drain_s=0.1)
    following = Following(target, name)
    started(operator)
    operator.log("a")
    following.until("a")
    operator.tell("Failed", "RUNNING", reason="DeadlineExceeded")
    assert following.rest().state == "failed"
    assert following.lines == ["a"]


def test_what_is_there_now(server: KubeServer, operator: Operator, name: str) -> None:
    target = target_of()
    assert list(target.logs(name)) == []
    first = started(operator)
    operator.log("a", "b")
    server.fail(Cut(after_lines=1), verb="get", resource="pods/log")
    assert list(target.logs(name)) == ["a", "b"]
    operator.submitter_again()
    server.kubelet.exit(first, 1)
    operator.log("a", "b", "c")
    assert list(target.logs(name)) == ["a", "b", "c"]
    server.fail(500, verb="get", resource="pods/log", times=20)
    with pytest.raises(TargetError, match="failed with status 500"):
        list(target.logs(name))


def test_the_pods_are_gone(
    server: KubeServer, operator: Operator, name: str, tmp_path: Path
) -> None:
    target = target_of()
    started(operator)
    assert list(target.logs(name)) == []
    operator.log("a")
    operator.end()
    server.store.delete("jobs", name)
    assert list(target.logs(name)) == [
        f"{name} has no pods any more, and it has not said where its run is kept"
    ]
    run, kept = tmp_path / "digits-9f", tmp_path / "digits-9f/logs/attempts"
    operator.note(storage=str(run))
    (line,) = target.logs(name)
    assert (
        line == f"the pods of {name} are gone; if its log was kept, it is in {kept} in the cluster"
    )
    kept.mkdir(parents=True)
    for file, content in (
        (f"20260101T100000Z-{name}.log", "a\nb\n"),
        (f"20260101T110000Z-{name}.log", "c\n"),
        (f"20260101T110000Z-{name}-2.log", "of the next submission"),
        ("20260101T110000Z-other-01234567.log", "of another"),
    ):
        (kept / file).write_text(content)
    assert list(target.logs(name)) == [
        f"the pods of {name} are gone; this was kept in {kept}",
        "a",
        "b",
        "attempt 2 begins",
        "c",
    ]
    operator.note(storage="nowhere://x/y")
    (line,) = target.logs(name)
    assert line.startswith(
        f"the pods of {name} are gone; its log is in nowhere://x/y/logs/attempts"
    )
    assert "not read: ValueError" in line


def test_earlier_attempts_are_elsewhere(operator: Operator, name: str) -> None:
    started(operator)
    operator.note(storage="s3://b/runs/x")
    operator.retry()
    started(operator)
    operator.log("a")
    assert list(target_of().logs(name)) == [
        "the logs of earlier attempts are in s3://b/runs/x/logs/attempts",
        "attempt 2 of 4 begins",
        "a",
    ]
