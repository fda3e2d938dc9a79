"""What is secret shows nowhere."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from trainwright import secrets
from trainwright.cli.problems import problem_to_json, write_traceback
from trainwright.cli.reporting import Report, reporting
from trainwright.compare.variants import variants_of
from trainwright.errors import InputError, Location, Problem, RunError
from trainwright.job import Job
from trainwright.job.models import TrainJob
from trainwright.orchestration.claiming import claim
from trainwright.orchestration.quiet import output_to
from trainwright.runs import RunRecord
from trainwright.search.jobs import TrialJobs
from trainwright.secrets import conceal, mask, public_values, secrets_in
from trainwright.storage import Folder
from trainwright.tracking import JournalWriter, leave_note, read_all

CANARY = "canary-4711"
URLS = [
    f"http://me:{CANARY}@host:1/data.parquet",
    f"https://host/data.parquet?sig={CANARY}&x=1",
    f"https://host/d?X-Amz-Signature={CANARY}",
    f"https://host/d?a=1&access_token={CANARY}#f",
    f"https://host/d?X-Goog-Credential={CANARY}'",
]


@pytest.mark.parametrize("url", URLS)
def test_urls(url: str) -> None:
    shown = mask(f"cannot read {url}: no answer")
    assert CANARY not in shown
    assert shown.startswith("cannot read http")
    assert "host" in shown
    assert shown.endswith("no answer")
    assert mask(shown) == shown


@pytest.mark.parametrize(
    "text", ["s3://b/a?versionId=3", "user@host: a:b", "key=5", "http://h:80/x"]
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert mask(text) == text


def test_values_of_secret_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MY_TOKEN", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "AZURE_STORAGE_ACCOUNT_KEY"):
        monkeypatch.setenv(name, CANARY)
        assert mask(f"https://host/{CANARY}/x") == "https://host/***/x"
        assert secrets_in(f"a {CANARY}") == (CANARY,)
        monkeypatch.delenv(name)
    for name in ("AWS_ACCESS_KEY_ID", "TOKENIZERS_PARALLELISM_FILE", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, CANARY)
        assert CANARY in mask(CANARY)


def test_what_a_process_is_told_to_conceal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_concealed", set())
    conceal(CANARY)
    job = TrainJob.model_validate(
        {
            "name": "a",
            "data": {"source": f"s3://b/{CANARY}/d.parquet"},
            "model": "mlp",
            "objective": "mse",
        }
    )
    assert CANARY not in json.dumps(public_values(job))


@pytest.mark.parametrize("url", URLS[:2])
def test_errors_logs_and_journals(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(sys, "argv", ["trainwright", "-s", f"data.source={url}"])
    problem = Problem("data", f"no {url}", url, mend=url, location=Location(f"-s data={url}"))
    told = [str(problem), json.dumps(problem_to_json(problem)), str(InputError(problem))]
    told.append(str(RunError(f"no {url}")))
    told.append(write_traceback(OSError(url), None).read_text())
    with contextlib.suppress(BaseException), reporting() as report:
        _fail(report, url)
    with output_to(tmp_path / "log"):
        print(f"reading {url}")
        print(f"reading {url}", file=sys.stderr)
    told.append((tmp_path / "log").read_text())
    folder = Folder(str(tmp_path))
    with JournalWriter(folder, 1, [], 1) as journal:
        journal.event(f"no {url}")
    leave_note(folder, 1, f"no {url}")
    told.append(json.dumps(list(read_all(folder))))
    told += capsys.readouterr()
    for text in told:
        assert CANARY not in text
        assert "host" in text or not text


def _fail(report: Report, url: str) -> None:
    report.remark(url)
    raise OSError(url)


def test_a_log_on_a_full_disk_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to("/dev/full")
    with output_to(tmp_path / "log"):
        print("a line", flush=True)
        sys.stderr.write("another")
    assert isinstance(sys.stdout, io.TextIOBase)
    assert sys.stdout.writable()


@pytest.mark.parametrize("kind", ["compare", "sweep"])
def test_jobs_inside_of_others_keep_no_expanded_variables(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_PASSWORD", CANARY)
    base = {
        "data": {"source": "digits"},
        "model": "mlp",
        "objective": "cross_entropy",
        "optimizer": {"name": "sgd", "lr": 0.1},
    }
    sections = {
        "compare": {"variants": {"baseline": {}, "a": {"optimizer.lr": 1}}},
        "sweep": {"space": {"optimizer.lr": {"uniform": [0, 1]}}},
    }
    tracking = {"uri": f"http://me:${{MY_PASSWORD}}@{CANARY[:6]}:1"}
    values = {"kind": kind, "name": "x", "base": base, **sections[kind], "tracking": tracking}
    job = Job.from_dict(values)
    inner = (
        variants_of(job)["a"].job(0)
        if kind == "compare"
        else TrialJobs(job).make({"optimizer.lr": 0.5}, label="x").job
    )
    assert CANARY in inner.source
    claim(Folder(str(tmp_path)), inner, RunRecord("x"), {})
    written = (tmp_path / "job.yaml").read_text()
    assert CANARY not in written
    assert "***@canary:1" in written


def test_the_longer_of_two_secrets_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", CANARY)
    monkeypatch.setenv("B_TOKEN", f"{CANARY}-and-more")
    assert mask(f"x {CANARY}-and-more y {CANARY}") == "x *** y ***"
    assert secrets.secret_variables_in(f"x {CANARY}-and-more") == ("A_TOKEN", "B_TOKEN")


def test_a_problem_shows_no_part_of_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in a value that is cut, nor in a key."""
    monkeypatch.setenv("A_TOKEN", CANARY * 20)
    told = str(Problem(f"model.{CANARY * 20}", "is wrong", {"inner": ["x" * 80, CANARY * 20]}))
    assert "canary" not in told
    assert told.startswith("model.***: is wrong")
