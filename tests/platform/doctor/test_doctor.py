"""Every check of the doctor, on machines that are well and on such as are not."""

from __future__ import annotations

import collections
import json
import socket
import subprocess
import sys
import time
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import psutil
import pytest

from trainwright.doctor import Finding, Subject, cluster, examine, machine, places, software
from trainwright.doctor.probe import try_out
from trainwright.doctor.versions import in_range, libraries, release
from trainwright.job import Job
from trainwright.job.models import ClusterSpec, TrainJob
from trainwright.storage import Folder

ALLOWED = ("ok", "note", "stop")


def job(**values: Any) -> TrainJob:
    base = {"name": "a", "data": {"source": "digits"}, "model": "mlp", "objective": "mse"}
    return Job.from_dict({**base, **values}).spec


@pytest.mark.parametrize(
    ("installed", "allowed", "fits"),
    [
        ("2.13.0+cpu", ">=2.6", True),
        ("2.6", ">=2.6.0", True),
        ("2.5.9", ">=2.6", False),
        ("2.10.1", ">=2.9", True),
        ("3.0", ">=2.6,<3", False),
        ("2.7.1", "!=2.7.1,>=2", False),
        ("2.0.0rc1", ">=2", True),
        ("1.0", "", True),
    ],
)
def test_versions(installed: str, allowed: str, fits: bool) -> None:
    assert in_range(installed, allowed) is fits


def test_release() -> None:
    assert release("2.13.0+cpu") == (2, 13, 0)
    assert release("unknown") == ()


def test_libraries_are_those_of_the_platform() -> None:
    linux = {library.name: library for library in libraries("trainwright", "linux")}
    assert linux["torch"].fits
    assert "pytest" not in linux
    assert "deepspeed" in linux
    assert "deepspeed" not in {library.name for library in libraries("trainwright", "darwin")}


def test_a_missing_and_an_old_library_stop_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def lines(distribution: str) -> list[str]:
        return ["torch>=999", "surely-not-there>=1", "rich>=1", 'x>=1; extra == "dev"']

    monkeypatch.setattr("trainwright.doctor.versions.requires", lines)
    found = {finding.name: finding for finding in software.check_libraries()}
    assert found["torch"].state == found["surely-not-there"].state == "stop"
    assert "not installed" in found["surely-not-there"].says
    assert 'pip install "torch>=999"' in found["torch"].mend
    assert found["libraries"] == Finding("libraries", "ok", "1 more in their ranges")


def test_with_a_library_missing_nothing_that_needs_it_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "trainwright.doctor.versions.requires", lambda name: ["surely-not-there>=1"]
    )
    names = [finding.name for finding in examine(Subject(Folder(str(tmp_path))))]
    assert "surely-not-there" in names
    assert "ray" not in names
    assert "plugins" not in names


def test_this_python_is_good_and_an_old_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert software.check_python().state == "ok"
    monkeypatch.setattr(sys, "version_info", (3, 8, 1, "final", 0))
    assert software.check_python().state == "stop"


def test_a_plugin_that_fails_to_import_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from trainwright.plugins import entries

    broken = EntryPoint("broken", "surely_not_there:X", "trainwright.objectives")
    real = entries.declared

    def declared(group: str) -> dict[str, Any]:
        return {**real(group), **({"broken": [broken]} if group == "objectives" else {})}

    for module in ("trainwright.plugins.entries", "trainwright.plugins.registry"):
        monkeypatch.setattr(f"{module}.declared", declared)
    found = list(software.check_plugins())
    (bad,) = (finding for finding in found if finding.state != "ok")
    assert (bad.name, bad.state) == ("plugin objectives/broken", "note")
    assert "surely_not_there" in bad.says


def test_compilers_are_needed_for_nvme_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda tool: None)
    assert software.check_compilers(None).state == "ok"
    assert software.check_compilers(job()).state == "ok"
    offload = {"stage": 3, "offload_param": {"device": "nvme", "nvme_path": "/x"}}
    needs = software.check_compilers(job(deepspeed={"zero_optimization": offload}))
    assert needs.state == "stop"
    assert "g++ and ninja" in needs.mend


@pytest.mark.parametrize(("available", "state"), [(0.5e9, "stop"), (2e9, "note"), (8e9, "ok")])
def test_memory(available: float, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = collections.namedtuple("Memory", "available total")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory(available, 16e9))
    assert machine.check_memory().state == state


def test_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_usable_cpus", lambda: 2)
    assert machine.check_processors(None).state == "ok"
    assert machine.check_processors(ClusterSpec(workers=4, cpus_per_worker=0.5)).state == "ok"
    too_many = machine.check_processors(ClusterSpec(workers=4))
    assert too_many.state == "stop"
    assert "cluster.cpus_per_worker=0.5" in too_many.mend
    elsewhere = ClusterSpec(workers=400, address="head:6379")
    assert machine.check_processors(elsewhere).state == "ok"


def test_gpus_that_a_job_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    wants = ClusterSpec(workers=2, gpus_per_worker=1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert machine.check_gpus(None).state == "ok"
    assert machine.check_gpus(wants).state == "stop"
    assert machine.check_gpus(ClusterSpec(gpus_per_worker=1, address="head:6379")).state == "ok"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "A GPU")
    assert machine.check_gpus(wants).state == "stop"
    assert machine.check_gpus(ClusterSpec(workers=2, gpus_per_worker=0.5)).state == "ok"


def test_ports_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    states = {finding.name: finding.state for finding in machine.check_network()}
    assert states["ports"] == "ok"
    monkeypatch.setattr(socket, "gethostname", lambda: "no-such-host.invalid")
    found = {finding.name: finding for finding in machine.check_network()}
    assert (found["ports"].state, found["host name"].state) == ("ok", "note")
    assert "/etc/hosts" in found["host name"].mend


def test_storage_is_left_as_it_was(tmp_path: Path) -> None:
    missing = Folder(str(tmp_path / "runs"))
    assert places.check_storage(missing).state == "ok"
    assert not (tmp_path / "runs").exists()
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "a").write_text("kept")
    assert places.check_storage(missing).state == "ok"
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["a"]


def test_storage_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    found = places.check_storage(Folder(str(tmp_path / "file" / "runs")))
    assert found.state == "stop"
    assert found.mend


@pytest.mark.parametrize(("free", "state"), [(1e8, "stop"), (1e9, "note"), (1e11, "ok")])
def test_disk(free: float, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = collections.namedtuple("Usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(1e12, 0, free))
    assert places.check_disk(Folder(str(tmp_path / "not" / "yet"))).state == state


def test_disk_of_an_object_store() -> None:
    assert places.check_disk(Folder("memory://runs")).state == "ok"


def test_a_trial_that_works_fails_or_hangs() -> None:
    good = try_out("print('noise'); print(6 * 7)", timeout_s=60)
    assert (good.worked, good.answer) == (True, "42")
    bad = try_out("raise ValueError('no luck')", timeout_s=60)
    assert (bad.worked, bad.trouble) == (False, "ValueError: no luck")
    silent = try_out("import sys; sys.exit(3)", timeout_s=60)
    assert silent.trouble == "exit status 3"
    told = try_out("import os; print(os.environ['A'])", timeout_s=60, environment={"A": "b"})
    assert told.answer == "b"


def test_a_trial_that_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)'])\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
        "time.sleep(99)"
    )
    began = time.monotonic()
    probe = try_out(code, timeout_s=3)
    assert not probe.worked
    assert "no answer within 3 s" in probe.trouble
    assert time.monotonic() - began < 60
    child = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while psutil.pid_exists(child) and psutil.Process(child).status() != "zombie":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_cluster_left_behind_by_ray_start_is_mentioned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr(cluster, "_CONNECT", "raise ConnectionError('nobody at {address}')")
    assert [finding.name for finding in cluster.check_cluster("local")] == ["ray"]
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("10.0.0.1:6379")
    running, failed = cluster.check_cluster("local")
    assert "10.0.0.1:6379" in running.says
    assert (failed.state, "workers=0" in failed.mend) == ("stop", True)
    (remote,) = cluster.check_cluster("head:6379")
    assert "nobody at head:6379" in remote.says
    assert "ray start --head" in remote.mend


def test_a_job_in_process_needs_no_cluster(tmp_path: Path) -> None:
    subject = Subject(
        Folder(str(tmp_path)), job(cluster={"workers": 0}, tracking={"enabled": False})
    )
    found = list(examine(subject))
    names = [finding.name for finding in found]
    assert "ray" not in names[names.index("plugins") :]
    assert "import deepspeed" not in names
    assert all(finding.state in ALLOWED and finding.says for finding in found)
    assert all(finding.mend for finding in found if finding.state == "stop")


def test_a_comparison_that_leaves_the_number_of_processes_open(tmp_path: Path) -> None:
    values = {
        "kind": "compare",
        "name": "c",
        "base": {
            "data": {"source": "digits"},
            "model": "mlp",
            "objective": "cross_entropy",
            "optimizer": {"name": "sgd", "lr": 0.1},
        },
        "variants": {"baseline": {}, "m": {"optimizer.lr": 0.2}},
        "cluster": {"cpus_per_worker": 0.5, "gpus_per_worker": 2},
    }
    cluster = Subject(Folder(str(tmp_path)), Job.from_dict(values).spec).cluster
    assert cluster is not None
    assert (cluster.workers, cluster.cpus_per_worker, cluster.gpus_per_worker) == (1, 0.5, 2)


@pytest.mark.slow
def test_the_whole_examination_starts_ray_once(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trainwright", "doctor", "--json"],
        capture_output=True,
        text=True,
        timeout=280,
        cwd=tmp_path,
        check=False,
    )
    answer = json.loads(done.stdout)
    found = {finding["name"]: finding for finding in answer["findings"]}
    assert found["ray"]["state"] == "ok", found["ray"]
    assert "can be started" in found["ray"]["says"]
    assert (done.returncode, answer["status"]) == (0, "ready")
    assert list(tmp_path.iterdir()) == []
