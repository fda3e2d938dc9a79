"""Places in a job that is sent away: made to mean the same there, or refused with what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from packed_jobs import TRAIN, run_there, write

from trainwright import api
from trainwright.errors import InputError
from trainwright.job import Job
from trainwright.submission.packing import pack
from trainwright.submission.parcel import ORDERS, Orders, Parcel
from trainwright.submission.parts import parts_of
from trainwright.submission.places import Settled, settle
from trainwright.submission.site import Site

SHARED = Site(shares_disk=True)
STRANGE = Site()
PODS = Site(mounts=("/data", "/runs"), read_only=("/data",), secrets=frozenset())
STORE = Site(storage="s3://bucket/runs", tracking="http://mlflow", mounts=(), secrets=frozenset())

FILES = """\
name: tiny
data:
  source: SOURCE
  columns: {x: {type: value}, y: {type: class, classes: 2}}
  batch_size: 2
MORE
model: {name: mlp, hidden: [4], inputs: {x: x}}
objective: {name: cross_entropy, bind: {target: y}}
training: {epochs: 1}
cluster: {workers: 0}
tracking: {enabled: false}
"""


def settled(text: str, site: Site, folder: Path, *overrides: str) -> Settled:
    """What is to be done about the places of a job."""
    job = Job.load(write(folder, {"job.yaml": text}), overrides)
    return settle(job, parts_of(job), site)


def orders(parcel: Parcel, folder: Path) -> dict[str, object]:
    """The overrides of a parcel, path -> value."""
    (folder / ORDERS).write_bytes(parcel.files[ORDERS])
    return {
        path: json.loads(value)
        for path, _, value in (text.partition("=") for text in Orders.read(folder).overrides)
    }


@pytest.fixture(autouse=True)
def _away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("HOME", "/home/me")


REFUSED = "refused"


@pytest.mark.parametrize(
    ("storage", "shared", "strange", "pods", "store"),
    [
        ("runs", "CWD/runs", REFUSED, REFUSED, "s3://bucket/runs"),
        ("~/runs", "/home/me/runs", REFUSED, REFUSED, "s3://bucket/runs"),
        ("/runs/mine", "", "", "", "s3://bucket/runs"),
        ("/data/mine", "", "", REFUSED, "s3://bucket/runs"),
        ("/runs/../data", "", "", REFUSED, "s3://bucket/runs"),
        ("/elsewhere", "", "", REFUSED, "s3://bucket/runs"),
        ("file:///runs/mine", "", "", "", "s3://bucket/runs"),
        ("file:///tmp/mine", "", "", REFUSED, "s3://bucket/runs"),
        ("gs://theirs/runs", "", "", "", ""),
        ("memory://runs", REFUSED, REFUSED, REFUSED, REFUSED),
        ("'a $${b} \"c\"'", 'CWD/a $${b} "c"', REFUSED, REFUSED, "s3://bucket/runs"),
    ],
)
def test_storage(
    storage: str, shared: str, strange: str, pods: str, store: str, tmp_path: Path
) -> None:
    """Where runs are kept, on four kinds of clusters; an empty text: as it is."""
    text = f"{TRAIN}storage: {storage}\n"
    for site, expected in ((SHARED, shared), (STRANGE, strange), (PODS, pods), (STORE, store)):
        found = settled(text, site, tmp_path)
        told = [problem.path for problem in found.problems]
        assert told == (["storage"] if expected == REFUSED else [])
        if expected != REFUSED:
            wanted = expected.replace("CWD", str(Path.cwd()))
            assert found.changes.get("storage", "") == wanted


@pytest.mark.parametrize(
    ("uri", "shared", "strange", "pods", "store"),
    [
        ("sqlite:///mlflow.db", "sqlite:///CWD/mlflow.db", REFUSED, REFUSED, "http://mlflow"),
        ("sqlite:////runs/mlflow.db", "", REFUSED, "", "http://mlflow"),
        ("sqlite:////data/mlflow.db", "", REFUSED, REFUSED, "http://mlflow"),
        ("https://mlflow.example", "", "", "", ""),
        ("", "", "", "", "http://mlflow"),
    ],
)
def test_tracking(
    uri: str, shared: str, strange: str, pods: str, store: str, tmp_path: Path
) -> None:
    text = TRAIN.replace("{enabled: false}", f"{{uri: '{uri}'}}" if uri else "{}")
    for site, expected in ((SHARED, shared), (STRANGE, strange), (PODS, pods), (STORE, store)):
        found = settled(f"{text}storage: s3://b/r\n", site, tmp_path)
        told = [problem.path for problem in found.problems]
        assert told == (["tracking.uri"] if expected == REFUSED else [])
        if expected != REFUSED:
            wanted = expected.replace("CWD", str(Path.cwd()))
            assert found.changes.get("tracking.uri", "") == wanted


def test_a_server_on_this_machine_is_another_one_there(tmp_path: Path) -> None:
    text = TRAIN.replace("{enabled: false}", "{uri: 'http://localhost:5000'}")
    found = settled(f"{text}storage: s3://b/r\n", PODS, tmp_path)
    assert found.remarks == [
        "tracking.uri is http://localhost:5000, which on the cluster is its own machine"
    ]
    assert settled(text, SHARED, tmp_path).remarks == []


@pytest.mark.parametrize(
    ("more", "path", "value"),
    [
        ("  validation: {source: b.csv}", "data.validation.source", "b.csv"),
        ("  test: {source: ./c/*.csv}", "data.test.source", "./c/*.csv"),
        (
            "  sources: {more: {source: ~/d.csv, columns: {x: {type: value}}}}",
            "data.sources.more.source",
            "~/d.csv",
        ),
    ],
)
def test_every_source_of_data(more: str, path: str, value: str, tmp_path: Path) -> None:
    text = FILES.replace("SOURCE", "a.csv").replace("MORE", more)
    whole = value.replace("~", "/home/me")
    absolute = whole if whole.startswith("/") else f"{tmp_path}/{whole.removeprefix('./')}"
    changes = settled(text, SHARED, tmp_path).changes
    assert changes["data.source"] == f"{tmp_path}/a.csv"
    assert changes[path] == absolute
    problems = settled(text, PODS, tmp_path, "storage=s3://b/r").problems
    assert [(problem.path, problem.got) for problem in problems] == [
        ("data.source", "a.csv"),
        (path, value),
    ]
    assert "/data" in str(problems[0].allowed)
    strange = settled(text, STRANGE, tmp_path, "storage=s3://b/r").problems
    assert "an absolute path that means the same" in str(strange[0].allowed)


@pytest.mark.parametrize("source", ["/data/a.csv", "s3://b/a.csv", "zip://a.csv::s3://b/a.zip"])
def test_data_that_the_cluster_sees_stays(source: str, tmp_path: Path) -> None:
    text = FILES.replace("SOURCE", source).replace("MORE", "storage: s3://b/r")
    parcel = pack(write(tmp_path, {"job.yaml": text}), [], PODS)
    assert orders(parcel, tmp_path) == {"cluster.address": "auto"}
    assert parcel.run is None
    assert "data and weights are checked on the cluster, when the run begins" in parcel.remarks


def test_data_in_the_image_or_on_disks_of_others_is_remarked_on(tmp_path: Path) -> None:
    text = FILES.replace("SOURCE", "/opt/tables/a.csv").replace("MORE", "storage: s3://b/r")
    assert settled(text, PODS, tmp_path).remarks == [
        "/opt/tables/a.csv, which is not on this machine, is read from the image"
    ]
    assert settled(text, STRANGE, tmp_path).remarks == [
        "/opt/tables/a.csv is read from the disks of the machines there"
    ]
    write(tmp_path, {"a.csv": "x,y\n1,0\n"})
    refused = settled(text.replace("/opt/tables", str(tmp_path)), PODS, tmp_path).problems
    assert [problem.path for problem in refused] == ["data.source"]


def test_data_beside_the_job_gives_the_same_run_on_a_shared_disk(tmp_path: Path) -> None:
    rows = "x,y\n" + "".join(f"{n / 7},{n % 2}\n" for n in range(20))
    files = {"here/a.csv": rows, "here/b.csv": rows}
    text = FILES.replace("SOURCE", "here/*.csv").replace("MORE", "  validation: 0.2")
    job = write(tmp_path / "home", {**files, "job.yaml": text})
    parcel = pack(job, [], SHARED)
    assert orders(parcel, tmp_path)["data.source"] == f"{tmp_path}/home/here/*.csv"
    assert run_there(parcel, tmp_path / "there") == parcel.run == api.validate(job).run


WEIGHTS = [
    ("weights: start.safetensors", "model.weights", "start.safetensors"),
    ("weights: {from: a/start.safetensors}", "model.weights.from", "a/start.safetensors"),
    ("weights: {source: ./parts/, skip: [head.*]}", "model.weights.source", "./parts/"),
]


@pytest.mark.parametrize(("written", "path", "value"), WEIGHTS)
def test_weights_from_files(written: str, path: str, value: str, tmp_path: Path) -> None:
    text = TRAIN.replace("hidden: [8]", f"hidden: [8], {written}") + "storage: s3://b/r\n"
    assert [(p.path, p.got) for p in settled(text, PODS, tmp_path).problems] == [(path, value)]
    changes = settled(text, SHARED, tmp_path).changes
    whole = f"{tmp_path}/{value.removeprefix('./').rstrip('/')}"
    assert changes == {"cluster.address": "auto", path: whole}
    changed = Job.load(tmp_path / "job.yaml", [f"{path}={json.dumps(whole)}"])
    assert changed.spec.model.weights.source == whole


def test_weights_of_an_earlier_run_are_for_the_cluster_to_find(tmp_path: Path) -> None:
    text = TRAIN.replace("hidden: [8]", "hidden: [8], weights: other-3f2a91c0@best")
    parcel = pack(write(tmp_path, {"job.yaml": text}), [], STORE)
    assert parcel.run is None
    assert orders(parcel, tmp_path) == {"cluster.address": "auto", "storage": "s3://bucket/runs"}


def test_paths_in_options_of_plugins(tmp_path: Path) -> None:
    text = TRAIN.replace("source: digits", "source: {name: text, files: [a.txt, /data/b.txt]}")
    text += "storage: s3://b/r\n"
    problems = settled(text, PODS, tmp_path).problems
    assert [(p.path, p.got) for p in problems] == [("data.source.files", "a.txt")]
    changes = settled(text, SHARED, tmp_path).changes
    assert changes["data.source.files"] == [f"{tmp_path}/a.txt", "/data/b.txt"]


def test_the_user_is_told_where_runs_are_kept_instead(tmp_path: Path) -> None:
    job = write(tmp_path, {"job.yaml": TRAIN})
    assert "runs are kept in s3://bucket/runs, as the profile says" in pack(job, [], STORE).remarks
    with pytest.raises(InputError) as caught:
        pack(job, [], PODS)
    assert str(caught.value).splitlines() == [
        f"{job}:1: storage: is a folder of this machine, and with the cluster its runs would be "
        "gone",
        "    got:     'runs'",
        "    allowed: a URL such as s3://bucket/folder, or a folder below /data or /runs",
        "    mend:    -s storage=s3://BUCKET/FOLDER",
    ]
