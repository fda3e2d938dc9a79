"""The commands that talk to a cluster, on a pretended one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pretended_target import PretendedTarget

from trainwright.submission.progress import Progress
from trainwright.submission.target import Submission, TargetLost

Call = Callable[..., Any]
LONG = "epoch 3 [red]loss[/red] :smile: \t" + "x" * 300


def ended(state: Any = "finished", **more: Any) -> Submission:
    return Submission(
        "", "tiny", state, run="tiny-1234abcd", storage="s3://b/runs/tiny-1234abcd", **more
    )


def test_a_job_is_sent(job: Path, target: PretendedTarget, call: Call) -> None:
    said = call("submit", "job.yaml", "--to", "k8s")
    (name,) = target.submissions
    assert said.status == 0
    assert said.out.splitlines() == [
        f"{name} sent: the pretended cluster",
        f"  log     trainwright logs {name} -f --to k8s --profile gpu",
        f"  status  trainwright status {name} --to k8s --profile gpu",
        f"  stop    trainwright stop {name} --to k8s --profile gpu",
    ]
    assert f"{name}  waiting  images are pulled" in said.err
    assert "note: a remark" in said.err


def test_the_same_job_is_joined_and_goes_on(job: Path, target: PretendedTarget, call: Call) -> None:
    call("submit", "job.yaml", "--to", "k8s")
    (name,) = target.submissions
    again = call("submit", "job.yaml", "--to", "k8s")
    assert again.out.startswith(f"{name} was sent already; joined it: the pretended cluster\n")
    assert "a remark" not in again.err
    target.put(name, "failed", says="a worker was lost")
    after = call("submit", "job.yaml", "--to", "k8s", "--json").json
    assert after["id"] == f"{name}-2"
    target.put(f"{name}-2", "finished")
    assert f"{name}-2 is finished already" in call("submit", "job.yaml", "--to", "k8s").out
    target.put(f"{name}-2", "stopped")
    went_on = call("submit", "job.yaml", "--to", "k8s").out
    assert went_on.startswith(f"{name}-3 sent; it goes on where {name}-2 ended: ")


def test_json_is_one_object(job: Path, target: PretendedTarget, call: Call) -> None:
    answer = call("submit", "job.yaml", "--to", "k8s", "--json").json
    assert answer["status"] == answer["state"] == "waiting"
    assert answer["id"] in target.submissions
    target.events = ["a line", ended(progress=Progress(2, 2))]
    said = call("submit", "job.yaml", "--to", "k8s", "--json", "-f")
    assert said.json["status"] == "finished"
    assert said.json["progress"]["step"] == 2
    assert "a line" not in said.err


def test_a_dry_run_sends_nothing_and_changes_no_sign(
    job: Path, target: PretendedTarget, call: Call
) -> None:
    said = call("submit", "job.yaml", "--to", "k8s", "--dry-run", width=60)
    assert target.submissions == {}
    assert said.out == target.preview(said.out.split()[1], None)  # type: ignore[arg-type]
    answer = call("submit", "job.yaml", "--to", "k8s", "--dry-run", "--json").json
    assert answer["status"] == "not sent"
    assert answer["manifests"] == said.out
    assert answer["id"] == said.out.split()[1]
    refused = call("submit", "job.yaml", "--to", "k8s", "--dry-run", "-f")
    assert refused.status == 2
    assert "--follow: means nothing with --dry-run" in refused.err


def test_what_cannot_run_there_is_not_sent(job: Path, target: PretendedTarget, call: Call) -> None:
    said = call("submit", "job.yaml", "--to", "k8s", "-s", "objective=cross_entorpy", "--json")
    assert said.status == 2
    assert said.json["problems"][0]["nearest"] == "cross_entropy"
    assert target.submissions == {}
    said = call("submit", "nowhere.yaml", "--to", "k8s")
    assert (said.status, "there is no file nowhere.yaml" in said.err) == (2, True)


@pytest.mark.parametrize(
    ("last", "status", "words"),
    [
        (ended(), 0, "`trainwright runs --storage s3://b/runs` lists its run, tiny-1234abcd"),
        (
            replace(ended(), storage="/srv/runs"),  # as long as nobody knows more than the job
            0,
            "`trainwright runs --storage /srv/runs` lists its run, tiny-1234abcd",
        ),
        (ended("failed", says="out of memory"), 1, "again goes on from the last checkpoint"),
        (ended("stopped"), 130, "submitting the same job again goes on"),
    ],
    ids=["finished", "finished, by the job", "failed", "stopped"],
)
def test_followed_to_the_end(
    last: Submission, status: int, words: str, job: Path, target: PretendedTarget, call: Call
) -> None:
    running = ended("running", progress=Progress(1, 4))
    target.events = [running, LONG, running, "second line", last]
    said = call("submit", "job.yaml", "--to", "k8s", "-f", width=60)
    (name,) = target.submissions
    assert said.status == status
    assert said.out.endswith(f"{LONG}\nsecond line\n")  # as it is, of whatever length
    assert words in said.err
    states = [line for line in said.err.splitlines() if line.startswith(f"{name}  ")]
    assert len(states) == 3  # waiting, running, and the end; what says nothing new is not said
    assert "step 1 of 4 (25%)" in states[1]
    followed = call("logs", name, "--to", "k8s", "-f")
    assert (followed.status, followed.out) == (status, f"{LONG}\nsecond line\n")


@pytest.mark.parametrize(
    ("end", "status"), [(KeyboardInterrupt(), 130), (TargetLost("no word for 5 min"), 1)]
)
def test_the_job_outlives_its_watcher(
    end: BaseException, status: int, target: PretendedTarget, call: Call
) -> None:
    target.put("tiny-01234567", "running")
    target.events = ["a line", end]
    said = call("logs", "tiny-01234567", "--to", "k8s", "-f")
    assert (said.status, said.out) == (status, "a line\n")
    assert said.err.splitlines()[-2:] == [
        "note: the job goes on; `trainwright logs tiny-01234567 -f --to k8s --profile gpu` "
        "follows it",
        "note: `trainwright stop tiny-01234567 --to k8s --profile gpu` stops it",
    ]
    assert ("no word for 5 min" in said.err) == (status == 1)
    assert target.submissions["tiny-01234567"].state == "running"


def test_status_tells_all_that_is_known(target: PretendedTarget, call: Call) -> None:
    target.put(
        "tiny-01234567",
        "running",
        progress=Progress(120, 560, seconds_left=41.0),
        says="one worker waits for a GPU",
        run="tiny-1234abcd",
        details={"workers": "1 of 2"},
        ended=None,
    )
    said = call("status", "tiny-01234567", "--to", "k8s")
    lines = said.out.splitlines()
    assert lines[0] == (
        "tiny-01234567  running  step 120 of 560 (21%), 0:41 left  one worker waits for a GPU"
    )
    assert [line.split()[0] for line in lines[1:]] == ["sent", "run", "workers"]
    answer = call("status", "tiny", "--to", "k8s", "--json").json
    assert answer["status"] == "running"
    assert answer["progress"] == {"step": 120, "total": 560, "unit": "steps", "seconds_left": 41.0}


def test_a_job_is_named_by_the_beginning_of_its_name(target: PretendedTarget, call: Call) -> None:
    target.put("tiny-01234567", "failed")
    target.put("tiny-01234567-2", "running")
    target.put("tiny-01234567-10", "stopped")
    target.put("other-89abcdef", "finished")
    assert call("status", "tiny", "--to", "k8s", "--json").json["id"] == "tiny-01234567-10"
    exact = call("status", "tiny-01234567", "--to", "k8s", "--json").json
    assert exact["id"] == "tiny-01234567"
    target.put("tiny-two-01234567", "finished")
    unclear = call("status", "tiny", "--to", "k8s")
    assert unclear.status == 2
    assert "ID: several submissions begin so" in unclear.err
    assert "other-89abcdef" not in unclear.err
    missing = call("stop", "ohter", "--to", "k8s", "--json")
    assert missing.status == 2
    (problem,) = missing.json["problems"]
    assert problem["message"] == "there is no such submission"
    assert problem["nearest"] == "other-89abcdef"
    assert "tiny-01234567-2" in problem["allowed"]


def test_nothing_is_there(target: PretendedTarget, call: Call) -> None:
    said = call("status", "tiny", "--to", "k8s")
    assert (said.status, "none: no job was submitted to the pretended cluster" in said.err) == (
        2,
        True,
    )
    listed = call("list", "--to", "k8s")
    assert (listed.status, listed.out) == (0, "")
    assert listed.err == "no job was submitted to the pretended cluster\n"
    assert call("list", "--to", "k8s", "--json").json == {"submissions": []}


def test_list_shows_all_and_cuts_no_name(target: PretendedTarget, call: Call) -> None:
    long = f"{'a' * 33}-01234567-9999"
    target.put("other-89abcdef", "finished", progress=Progress(4, 4))
    target.put(long, "waiting", says="in the queue team-a, where 3 are before it " * 3)
    wide = call("list", "--to", "k8s").out.splitlines()
    assert wide[0].split() == ["submission", "state", "sent", "progress"]
    assert wide[1].split()[:2] == [long, "waiting"]
    assert "100%" in wide[-1]
    narrow = call("list", "--to", "k8s", width=50)
    assert [line.split()[:2] for line in narrow.out.splitlines()] == [
        [long, "waiting"],
        ["other-89abcdef", "finished"],
    ]
    ids = [one["id"] for one in call("list", "--to", "k8s", "--json").json["submissions"]]
    assert ids == [long, "other-89abcdef"]


def test_list_refuses_what_contradicts_itself(target: PretendedTarget, call: Call) -> None:
    said = call("list", "strategies", "--to", "k8s")
    assert (
        said.status,
        "--to: lists submitted jobs, and a group is one of plugins" in said.err,
    ) == (2, True)
    said = call("list", "-p", "gpu", "-n", "team")
    assert said.status == 2
    assert "--profile: means nothing without --to" in said.err
    assert "--namespace: means nothing without --to" in said.err


def test_stop_and_delete(target: PretendedTarget, call: Call) -> None:
    target.put("tiny-01234567", "running")
    kept = call("delete", "tiny", "--to", "k8s")
    assert kept.status == 2
    assert "it is running" in kept.err
    assert "`trainwright stop tiny-01234567 --to k8s --profile gpu` first, or --force" in kept.err
    stopped = call("stop", "tiny", "--to", "k8s")
    assert (stopped.status, stopped.out) == (0, "tiny-01234567  stopped\n")
    assert "again goes on from the last checkpoint" in stopped.err
    assert "it had ended before" in call("stop", "tiny", "--to", "k8s").err
    gone = call("delete", "tiny", "--to", "k8s", "--json")
    assert gone.json == {"status": "deleted", "id": "tiny-01234567"}
    assert target.submissions == {}
    target.put("tiny-01234567", "waiting")
    assert call("delete", "tiny", "--to", "k8s", "--force").out == (
        "tiny-01234567 deleted; its run stays in the storage\n"
    )


def test_the_target_may_stand_in_the_environment(
    target: PretendedTarget, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    target.put("tiny-01234567", "running")
    missing = call("status", "tiny")
    assert missing.status == 2
    monkeypatch.setenv("TRAINWRIGHT_TO", "k8s")
    assert call("status", "tiny").status == 0
    assert call("list", "objectives").status == 0  # the plugins all the same
