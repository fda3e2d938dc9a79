"""The job that arrives is the job that was given."""

from __future__ import annotations

from pathlib import Path

import pytest
from packed_jobs import JOBS, MINE, PLUGINS, TRAIN, USED, run_there, working_in, write

from trainwright import api
from trainwright.errors import InputError
from trainwright.submission.packing import pack
from trainwright.submission.parcel import FOLDER, JOB, ORDERS, Parcel
from trainwright.submission.site import Site

STORE = Site(storage="s3://bucket/runs", mounts=(), secrets=frozenset())
SHARED = Site(shares_disk=True)


def beside(parcel: Parcel) -> list[str]:
    """The plugin files in a parcel."""
    names = parcel.files.keys() - {JOB, ORDERS}
    return sorted(name.removeprefix(f"{FOLDER}/") for name in names)


@pytest.fixture(autouse=True)
def _away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.mark.parametrize("kind", JOBS)
def test_a_job_of_any_kind_has_the_same_run_there_as_here(kind: str, tmp_path: Path) -> None:
    files, needed = JOBS[kind]
    job = write(tmp_path / "home", {**PLUGINS, **files})
    parcel = pack(job, [], SHARED)
    assert beside(parcel) == sorted(needed)
    assert parcel.run == api.validate(job).run
    assert run_there(parcel, tmp_path / "there") == parcel.run
    merged = sum(name.endswith(".yaml") for name in files) > 1
    assert (parcel.files[JOB] == job.read_bytes()) == (not merged)


@pytest.mark.parametrize("kind", ["train, plugin", "compare", "sweep"])
def test_so_it_has_where_an_object_store_keeps_it(kind: str, tmp_path: Path) -> None:
    files, needed = JOBS[kind]
    job = write(tmp_path / "home", {**PLUGINS, **files})
    parcel = pack(job, [], STORE)
    assert beside(parcel) == sorted(needed)
    assert parcel.storage == "s3://bucket/runs"
    there = (tmp_path / "store").as_uri().encode()
    orders = parcel.files[ORDERS].replace(b"s3://bucket/runs", there)
    assert there in orders
    unpacked = Parcel("x", {**parcel.files, ORDERS: orders}, parcel.need)
    assert run_there(unpacked, tmp_path / "there") == parcel.run == api.validate(job).run


def test_comments_and_ends_of_lines_stay(tmp_path: Path) -> None:
    text = "# what it is for: 日本\r\n" + MINE.replace("\n", "  # why\r\n")
    job = write(tmp_path, {**PLUGINS, "job.yaml": text})
    parcel = pack(job, [], SHARED)
    assert parcel.files[JOB] == text.encode()
    assert run_there(parcel, tmp_path / "there") == api.validate(job).run


def test_texts_that_look_like_numbers_survive_the_merging(tmp_path: Path) -> None:
    parent = MINE.replace(
        "tracking:", "# 1e3 is a text for YAML 1.1 and a number for 1.2\ntracking:"
    )
    job = write(
        tmp_path,
        {
            **PLUGINS,
            "parent.yaml": parent.replace(
                "{enabled: false}", "{enabled: false, experiment: '1e3'}"
            ),
            "job.yaml": "extends: parent.yaml\nstorage: '$${x}/1e3'\n",
        },
    )
    parcel = pack(job, [], SHARED)
    assert run_there(parcel, tmp_path / "there") == api.validate(job).run
    assert parcel.storage == str(Path.cwd() / "${x}" / "1e3")


@pytest.mark.parametrize(
    "override",
    [
        "model.hidden=[4, 4]",
        'name="a name"',
        'tracking.experiment=it\'s "quoted" $HOME `x` \\ {}',
        "tracking.experiment=日本 🚂 ñ",
        "model={name: mlp,\n  hidden: [4]}",
        "tracking.experiment='$${NOT_SET}'",
        "objective={name: losses.py:Mine, factor: 3}",
    ],
    ids=["list", "refused", "quotes", "unicode", "lines", "dollars", "plugin"],
)
def test_overrides_arrive_as_they_were_given(override: str, tmp_path: Path) -> None:
    job = write(tmp_path, {**PLUGINS, "job.yaml": TRAIN})
    if override.startswith("name"):
        with pytest.raises(InputError, match="another form than is allowed"):
            pack(job, [override], SHARED)
        return
    parcel = pack(job, [override], SHARED)
    assert run_there(parcel, tmp_path / "there") == api.validate(job, overrides=[override]).run
    assert beside(parcel) == (USED if "losses" in override else [])


def test_files_beside_a_job_hide_nothing_where_it_runs(tmp_path: Path) -> None:
    """A user's ``types.py`` would stand before Python's if it lay where ``python -m`` starts."""
    loss = PLUGINS["losses.py"].replace("from helpers import scale", "from types import scale")
    job = write(tmp_path, {"job.yaml": MINE, "losses.py": loss, "types.py": "scale = float\n"})
    parcel = pack(job, [], SHARED)
    assert beside(parcel) == ["losses.py", "types.py"]
    assert {name for name in parcel.files if "/" not in name} == {ORDERS}
    assert run_there(parcel, tmp_path / "there") == api.validate(job).run


def test_a_symlinked_job_is_packed_with_the_files_where_it_lies(tmp_path: Path) -> None:
    job = write(tmp_path / "real", {**PLUGINS, "job.yaml": MINE})
    (tmp_path / "real" / "losses.py").rename(tmp_path / "elsewhere.py")
    (tmp_path / "real" / "losses.py").symlink_to(tmp_path / "elsewhere.py")
    (tmp_path / "link.yaml").symlink_to(job)
    parcel = pack(tmp_path / "link.yaml", [], SHARED)
    assert beside(parcel) == USED
    assert run_there(parcel, tmp_path / "there") == api.validate(job).run


def test_a_folder_that_cannot_be_written_to_can_be_packed(tmp_path: Path) -> None:
    job = write(tmp_path / "home", {**PLUGINS, "job.yaml": MINE})
    (tmp_path / "home").chmod(0o500)
    try:
        assert beside(pack(job, [], STORE)) == USED
        assert not (tmp_path / "home" / "__pycache__").exists()
    finally:
        (tmp_path / "home").chmod(0o700)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../losses.py:Mine", "lies outside the folder of the job"),
        ("/nowhere/losses.py:Mine", "is a path of this machine"),
        ("{home}/losses.py:Mine", "nearest: losses.py:Mine"),
    ],
    ids=["above", "absolute elsewhere", "absolute beside"],
)
def test_plugin_files_that_cannot_travel_are_refused(name: str, words: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    text = TRAIN.replace("cross_entropy", name.format(home=home))
    job = write(home, {**PLUGINS, "job.yaml": text})
    write(tmp_path, {"losses.py": PLUGINS["losses.py"]})
    with pytest.raises(InputError) as caught:
        pack(job, [], SHARED)
    assert words in str(caught.value)
    assert f"{job}:4" in str(caught.value)


def test_a_plugin_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    latin = "# -*- coding: latin-1 -*-\n# é\n".encode("latin-1") + PLUGINS["losses.py"].encode()
    job = write(tmp_path, {**PLUGINS, "losses.py": latin, "job.yaml": MINE})
    with pytest.raises(InputError, match=r"plugin file losses\.py is not UTF-8 text"):
        pack(job, [], STORE)


def test_what_is_too_large_for_a_cluster_is_named(tmp_path: Path) -> None:
    large = f"TABLE = '{'x' * 1_000_000}'\n{PLUGINS['losses.py']}"
    job = write(tmp_path, {**PLUGINS, "losses.py": large, "job.yaml": MINE})
    with pytest.raises(InputError) as caught:
        pack(job, [], STORE)
    assert f"job/losses.py alone {len(large):,}" in str(caught.value)


def test_mistakes_are_told_at_their_lines_all_at_once(tmp_path: Path) -> None:
    text = TRAIN.replace("digits", "table.csv").replace("cross_entropy", "cross_entorpy")
    text = text.replace("batch_size: 128", "columns: {y: class}, batch_size: 128")
    job = write(tmp_path, {"job.yaml": text.replace("{y: class}", "{y: {type: class}}")})
    with pytest.raises(InputError) as caught:
        pack(job, [], STORE)
    assert [problem.path for problem in caught.value.problems] == ["data.source", "objective"]
    assert [problem.location.line for problem in caught.value.problems if problem.location] == [
        2,
        4,
    ]


def test_what_runs_is_what_was_checked_though_the_file_changes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = write(tmp_path, {"job.yaml": TRAIN})
    from trainwright.submission import packing

    settle = packing.settle
    monkeypatch.setattr(
        packing, "settle", lambda *a: (job.write_text("name: other\n"), settle(*a))[1]
    )
    assert pack(job, [], STORE).files[JOB] == TRAIN.encode()


def test_a_real_run_of_a_parcel(tmp_path: Path) -> None:
    from trainwright.submission.inside.__main__ import main

    job = write(tmp_path, {**PLUGINS, "job.yaml": MINE})
    here = api.run(job, overrides=[f"storage={tmp_path}/here"])
    parcel = pack(job, [f"storage={tmp_path}/there"], SHARED)
    parcel.write(tmp_path / "parcel")
    with working_in(tmp_path / "parcel"):
        assert main() == 0
    assert parcel.run == here.run
    assert (tmp_path / "there" / here.run / "run.json").exists()
