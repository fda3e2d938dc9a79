"""Environments of peers: what they are made from, and what becomes of one that cannot be made."""

from __future__ import annotations

import re
import subprocess
import zipfile
from pathlib import Path

import pytest
import run_all
from common import peers
from common.peers import PEERS, Peer


def made_peer(folder: Path, monkeypatch: pytest.MonkeyPatch, requirements: str) -> Peer:
    """A peer whose packages come from a folder with one wheel: ``nothing`` 1.0."""
    wheels = folder / "wheels"
    wheels.mkdir(exist_ok=True)
    about = "Metadata-Version: 2.1\nName: nothing\nVersion: 1.0\n"
    wheel = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(wheels / "nothing-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("nothing.py", "value = 7\n")
        archive.writestr("nothing-1.0.dist-info/METADATA", about)
        archive.writestr("nothing-1.0.dist-info/WHEEL", wheel)
        archive.writestr("nothing-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    file = folder / "made.txt"
    file.write_text(requirements)
    peer = Peer(file, folder / "build" / "made")
    monkeypatch.setitem(PEERS, "made", peer)
    peers.python_of.cache_clear()
    return peer


@pytest.mark.slow
def test_an_environment_is_made_once_and_again_after_its_requirements_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    peer = made_peer(tmp_path, monkeypatch, "nothing==1.0\n")
    assert not peer.is_installed
    python = peers.python_of("made")
    assert python == peer.python
    assert peer.is_installed
    assert "installing made" in capsys.readouterr().err
    code = "import nothing, sys; print(nothing.value, 'torch' in sys.modules)"
    assert subprocess.check_output([python, "-c", code], text=True) == "7 False\n"
    peers.python_of.cache_clear()
    assert peers.python_of("made") == python
    assert capsys.readouterr().err == ""
    peer.requirements.write_text("# another\nnothing==1.0\n")
    assert not peer.is_installed


def test_a_peer_that_cannot_be_installed_is_left_out_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    peer = made_peer(tmp_path, monkeypatch, "nothing==2.0\n")
    assert peers.main(["made"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert "made is not installed and left out: " in said[-1]
    assert "nothing==2.0" in said[-1]
    assert not peer.is_installed


def test_an_unknown_peer_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert peers.main(["lightening"]) == 2
    assert "no peer lightening: there are accelerate," in capsys.readouterr().err


@pytest.mark.parametrize("name", PEERS)
def test_every_package_of_a_peer_has_one_version(name: str) -> None:
    lines = PEERS[name].requirements.read_text().split()
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.!-]+", line)] == []


def test_versions_of_peers_are_those_that_are_installed() -> None:
    told = [(name, of) for one in run_all.BENCHMARKS for name, of in one.peers.items()]
    assert {name for name, _ in told} == set(PEERS)
    for name, of in told:
        assert all(
            f"{package}=={version}\n" in PEERS[name].requirements.read_text()
            for package, version in PEERS[name].versions(of).items()
        )
    with pytest.raises(KeyError):
        PEERS["flower"].versions(["lightning"])
