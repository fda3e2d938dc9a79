"""Names of submissions: what Kubernetes takes, told apart, and made from content alone."""

from __future__ import annotations

import os
import re
import string
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packed_jobs import PLUGINS, TRAIN, unchecked, working_in, write

from trainwright.submission.names import LONGEST, MOST, base_of, parsed, submission_id
from trainwright.submission.packing import pack
from trainwright.submission.parcel import Need, Parcel
from trainwright.submission.site import Site

DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
STORE = Site(storage="s3://bucket/runs", mounts=(), secrets=frozenset())

LETTERS = string.ascii_letters + string.digits
JOBS = st.builds(
    lambda first, rest: first + rest,
    st.sampled_from(LETTERS),
    st.text(LETTERS + "._-", max_size=62),
)
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)


@given(JOBS, DIGESTS, st.integers(1, MOST))
def test_a_name_is_one_for_kubernetes_and_is_read_again(job: str, digest: str, number: int) -> None:
    base = base_of(job, digest)
    name = submission_id(base, number)
    assert DNS_1035.fullmatch(name)
    assert len(name) <= LONGEST == 47
    assert parsed(name) == (base, number)
    assert digest[:8] in name


@pytest.mark.parametrize(
    ("job", "base"),
    [
        ("My.Job_2", "my-job-2-01234567"),
        ("3d", "job-3d-01234567"),
        ("a" * 63, f"{'a' * 33}-01234567"),
        ("A.._-__.b", "a-b-01234567"),
        ("x" + "-" * 40 + "y", "x-y-01234567"),
        ("job-01234567", "job-01234567-01234567"),
        ("0" * 63, f"job-{'0' * 29}-01234567"),
        ("a" * 32 + ".b", f"{'a' * 32}-01234567"),
    ],
)
def test_base_of(job: str, base: str) -> None:
    assert base_of(job, "0123456789abcdef") == base


@pytest.mark.parametrize(
    "name",
    [
        "raysubmit_abc",
        "quickstart",
        "quickstart-0123456",
        "quickstart-01234567-1",
        "quickstart-01234567-02",
        "quickstart-01234567-0",
        "quickstart-01234567-10000",
        "Quickstart-01234567",
        "-01234567",
        "quickstart-01234567\n",
        "q--01234567x",
        f"{'a' * 40}-01234567",
        "",
    ],
)
def test_names_of_others_are_not_taken_for_ours(name: str) -> None:
    assert parsed(name) is None


FILES = st.dictionaries(st.text(min_size=1, max_size=5), st.binary(max_size=5), max_size=4)


@given(FILES, FILES)
def test_the_digest_tells_contents_apart(first: dict[str, bytes], second: dict[str, bytes]) -> None:
    digests = [Parcel("x", files, Need(1, 1.0, 0.0)).digest for files in (first, second)]
    assert (digests[0] == digests[1]) == (first == second)
    turned = dict(reversed(list(first.items())))
    assert Parcel("y", turned, Need(2, 2.0, 1.0), run="r", remarks=["z"]).digest == digests[0]


def test_a_name_depends_on_the_content_alone(tmp_path: Path) -> None:
    """Not on the folder, the working directory, the user's home, or when files were written."""
    bases = set()
    text = TRAIN.replace("cross_entropy", "losses.py:Mine") + "storage: ~/runs\n"
    for number, folder in enumerate((tmp_path / "one", tmp_path / "another" / "place")):
        job = write(folder, {**PLUGINS, "job.yaml": text})
        os.utime(job, (number, number))
        checked = unchecked()
        home = mock.patch.dict(os.environ, {"HOME": str(folder), f"MORE{number}": "x"})
        with checked, home, working_in(folder / "cwd"):
            bases.add(pack(job, ["seed=1"], STORE).base)
            bases.add(pack(Path(os.path.relpath(job)), ["seed=1"], STORE).base)
    assert len(bases) == 1
    job = write(tmp_path / "one", {**PLUGINS, "job.yaml": text})
    with unchecked():
        others = {
            pack(job, [], STORE).base,
            pack(job, ["seed=2"], STORE).base,
            pack(job, ["seed=1", "seed=1"], STORE).base,
        }
        write(tmp_path / "one", {"helpers.py": PLUGINS["helpers.py"] + "\n# changed\n"})
        others.add(pack(job, ["seed=1"], STORE).base)
    assert len(others | bases) == 5
