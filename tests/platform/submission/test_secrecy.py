"""Nothing that is secret travels, and no message shows it."""

from __future__ import annotations

import os
import string
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packed_jobs import PLUGINS, TRAIN, unchecked, write

from trainwright.errors import InputError
from trainwright.submission.packing import pack
from trainwright.submission.parcel import JOB, ORDERS, Parcel
from trainwright.submission.site import Site

STORE = Site(storage="s3://bucket/runs", mounts=(), secrets=frozenset())
STRANGE = Site(storage="s3://bucket/runs")
SECRET = "correct-horse-battery"
TRACKED = TRAIN.replace("{enabled: false}", "{uri: 'https://mlflow.example'}")


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SHOP_TOKEN", SECRET)
    monkeypatch.chdir(tmp_path)


def told(folder: Path, text: str, *overrides: str, site: Site = STORE) -> list[str]:
    """The first lines of all problems, none of which shows the secret."""
    job = write(folder, {**PLUGINS, "job.yaml": text})
    with pytest.raises(InputError) as caught:
        pack(job, overrides, site)
    assert SECRET not in str(caught.value)
    return [str(problem).partition("\n")[0] for problem in caught.value.problems]


MESSAGE = "holds a secret, which others could read on the cluster"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (TRACKED.replace("mlflow.ex", f"{SECRET}.ex"), ":7: tracking.uri: "),
        (TRACKED + f"# the token: {SECRET}\n", ":8: the line "),
        (TRACKED.replace("://", "://me:12345678@"), ":7: tracking.uri: "),
        (TRACKED.replace("example", "example/?token=12345678"), ":7: tracking.uri: "),
        (
            TRACKED.replace("digits", "'https://x/a?X-Amz-Signature=12345678'"),
            ":2: data.source: ",
        ),
        (TRACKED.replace("digits", r'"\x63orrect-horse-battery.csv"'), ":2: data.source: "),
        (TRACKED.replace("hidden", SECRET), ":3: model.***: "),
    ],
    ids=["value", "comment", "password", "query", "signed", "escaped", "key"],
)
def test_a_secret_in_a_job_file(text: str, where: str, tmp_path: Path) -> None:
    assert told(tmp_path, text) == [f"{tmp_path}/job.yaml{where}{MESSAGE}"]


def test_a_secret_of_several_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOY_PRIVATE_KEY", "-----BEGIN-----\nabcdefgh\n-----END-----")
    text = TRACKED.replace(
        "'https://mlflow.example'", '"-----BEGIN-----\\nabcdefgh\\n-----END-----"'
    )
    assert told(tmp_path, text) == [f"{tmp_path}/job.yaml:7: tracking.uri: {MESSAGE}"]
    block = TRACKED.replace(
        "{uri: 'https://mlflow.example'}",
        "\n  experiment: |-\n    -----BEGIN-----\n    abcdefgh\n    -----END-----",
    )
    assert told(tmp_path, block) == [f"{tmp_path}/job.yaml:8: tracking.experiment: {MESSAGE}"]


def test_a_secret_in_an_override(tmp_path: Path) -> None:
    assert told(tmp_path, TRAIN, f"tracking.uri=https://me:{SECRET}@host") == [
        f"-s tracking.uri=https://me:***@host: tracking.uri: {MESSAGE}"
    ]
    assert told(tmp_path, TRAIN, f"seed=1 # {SECRET}") == [f"-s: {MESSAGE}"]


def test_a_secret_in_a_file_that_is_extended(tmp_path: Path) -> None:
    write(tmp_path, {"parent.yaml": TRACKED.replace("mlflow.ex", f"{SECRET}.ex")})
    assert told(tmp_path, "extends: parent.yaml\n") == [
        f"{tmp_path}/parent.yaml:7: tracking.uri: {MESSAGE}"
    ]


def test_a_secret_in_a_profile(tmp_path: Path) -> None:
    site = Site(storage="s3://b/r", tracking="https://me:12345678@mlflow", mounts=())
    job = write(tmp_path, {"job.yaml": TRAIN.replace("{enabled: false}", "{}")})
    with pytest.raises(InputError, match=MESSAGE) as caught:
        pack(job, [], site)
    assert "12345678" not in str(caught.value)


def test_a_secret_in_a_plugin_file(tmp_path: Path) -> None:
    losses = f"# {SECRET}\n{PLUGINS['losses.py']}"
    job = write(
        tmp_path,
        {
            **PLUGINS,
            "losses.py": losses,
            "job.yaml": TRAIN.replace("cross_entropy", "losses.py:Mine"),
        },
    )
    with unchecked(), pytest.raises(InputError) as caught:
        pack(job, [], STORE)
    assert str(caught.value).splitlines() == [
        "the plugin file losses.py holds the value of SHOP_TOKEN",
        "    mend:    let it read os.environ['SHOP_TOKEN'], and put the value into a secret of the "
        "cluster",
    ]


NAMED = TRACKED.replace("https://mlflow", "https://${WHO}:${SHOP_TOKEN}@${HOST_OF_MINE}")


def test_variables_travel_and_secret_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHO", "me")
    monkeypatch.setenv("HOST_OF_MINE", "here")
    job = write(tmp_path, {"job.yaml": NAMED})
    with unchecked():
        parcel = pack(job, [], STRANGE)
    assert SECRET.encode() not in b"".join(parcel.files.values())
    assert b'"WHO": "me"' in parcel.files[ORDERS]
    assert parcel.files[JOB] == NAMED.encode()
    assert (
        "${SHOP_TOKEN} holds a secret and is not sent: it is read from the environment there"
        in parcel.remarks
    )
    assert told(tmp_path, NAMED) == [
        f"{tmp_path}/job.yaml:7: tracking.uri: ${{SHOP_TOKEN}} holds a secret, which is not sent, "
        "and no pod has it"
    ]
    given_there = Site(
        storage="s3://b/r", mounts=(), secrets=frozenset({"SHOP_TOKEN"}), environment={"WHO": "pod"}
    )
    with unchecked():
        parcel = pack(job, [], given_there)
    assert b'"variables": {\n  "HOST_OF_MINE": "here"\n }' in parcel.files[ORDERS]
    assert not [remark for remark in parcel.remarks if "SHOP_TOKEN" in remark]


def test_a_variable_that_holds_a_secret_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HERE", f"https://me:{SECRET}@mlflow")
    job = write(tmp_path, {"job.yaml": TRACKED.replace("https://mlflow.example", "${MLFLOW_HERE}")})
    with unchecked():
        parcel = pack(job, [], STRANGE)
    assert b"MLFLOW_HERE" not in parcel.files[ORDERS]
    assert any("${MLFLOW_HERE} holds a secret" in remark for remark in parcel.remarks)


def test_variables_of_what_is_overridden_stay_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERE", "s3://b/r")
    job = write(tmp_path, {"job.yaml": TRAIN + "storage: ${WHERE}\n"})
    with unchecked():
        assert b"WHERE" in pack(job, [], STORE).files[ORDERS]
        assert b"WHERE" not in pack(job, ["storage=s3://c/r"], STORE).files[ORDERS]


def test_a_variable_that_nobody_has_is_told_at_its_place(tmp_path: Path) -> None:
    assert told(tmp_path, TRAIN + "storage: ${NO_SUCH_VARIABLE}\n") == [
        f"{tmp_path}/job.yaml:8: storage: the environment variable NO_SUCH_VARIABLE is not set"
    ]


def _as_experiment(job: str, value: str) -> str:
    return job.replace("experiment: e", f"experiment: {value}")


PLACES = {
    "value": lambda job, secret: (_as_experiment(job, _quoted(secret)), []),
    "inside": lambda job, secret: (_as_experiment(job, _quoted(f"a{secret}b")), []),
    "comment": lambda job, secret: (f"{job}# {secret}\n", []),
    "key": lambda job, secret: (f"{job}{_quoted(secret)}: 1\n", []),
    "plugin": lambda job, secret: (job.replace("cross_entropy", _quoted(f"{secret}.py:X")), []),
    "override": lambda job, secret: (job, [f"tracking.experiment={_quoted(secret)}"]),
    "override's path": lambda job, secret: (job, [f"model.{secret}=1"]),
    "wrong type": lambda job, secret: (job.replace("[8]", f"{{a: [{_quoted(secret)}]}}"), []),
    "no YAML": lambda job, secret: (job, [f"a.b=[{secret}"]),
    "URL": lambda job, secret: (_as_experiment(job, _quoted(f"http://u:{secret}@h")), []),
}


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(string.ascii_letters + string.digits + "-_+/=.~", min_size=8, max_size=40).filter(
        lambda text: text.strip("-_+/=.~") != ""
    ),
    st.sampled_from(sorted(PLACES)),
    st.sampled_from([STORE, STRANGE, Site(shares_disk=True)]),
)
def test_secrets_anywhere_are_never_sent_and_never_shown(
    tmp_path: Path, secret: str, place: str, site: Site
) -> None:
    innocent = TRAIN.replace("{enabled: false}", "{experiment: e}")
    if secret in innocent:
        return
    text, overrides = PLACES[place](innocent, secret)
    with mock.patch.dict(os.environ, {"SOME_PASSWORD": secret}), unchecked():
        job = write(tmp_path, {"job.yaml": text})
        with pytest.raises(InputError) as caught:
            pack(job, overrides, site)
    assert secret not in str(caught.value)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(string.ascii_letters, min_size=8, max_size=20))
def test_named_by_its_variable_it_is_not_sent_either(tmp_path: Path, secret: str) -> None:
    text = TRAIN.replace("{enabled: false}", "{uri: 'https://u:${SOME_PASSWORD}@h'}")
    job = write(tmp_path, {"job.yaml": text})
    if secret in text:
        return
    with mock.patch.dict(os.environ, {"SOME_PASSWORD": secret}), unchecked():
        parcel = pack(job, [], STRANGE)
    assert not _holds(parcel, secret)


def _holds(parcel: Parcel, secret: str) -> bool:
    everything = [*parcel.files, *parcel.remarks, str(parcel.run), str(parcel.storage), parcel.name]
    return any(secret in text for text in everything) or any(
        secret.encode() in content for content in parcel.files.values()
    )
