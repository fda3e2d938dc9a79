"""Environments of the peers that Trainwright is measured against, made on first use.

Peers are no dependencies of ours, and their libraries need not go together with ours or with each
other's. Each is a file ``peers/NAME.txt``, which names every package of the peer's environment
with its version; ``build/peers/NAME`` is made from it.

python jobs/benchmarks/common/peers.py            makes all environments: ``make peers``
python jobs/benchmarks/common/peers.py flower     makes one
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE.parents[2] / "build" / "peers"


class NotInstalledError(RuntimeError):
    """A peer's environment cannot be made; says why in one line."""


@dataclass(frozen=True)
class Peer:
    """One peer.

    Attributes:
        requirements: names every package of its environment with its version.
        folder: of the environment.
    """

    requirements: Path
    folder: Path

    @property
    def name(self) -> str:
        """What it is called."""
        return self.requirements.stem

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return self.folder / "bin" / "python"

    @property
    def is_installed(self) -> bool:
        """Whether the environment is whole, and made from the requirements as they are now."""
        return self._made_from.is_file() and (
            self._made_from.read_text() == self.requirements.read_text()
        )

    def versions(self, packages: Sequence[str]) -> dict[str, str]:
        """Those of some of its packages.

        Raises:
            KeyError: it has no such package.
        """
        pinned = dict(line.split("==") for line in self.requirements.read_text().split())
        return {package: pinned[package] for package in packages}

    @property
    def _made_from(self) -> Path:
        return self.folder / "made-from.txt"

    def install(self) -> None:
        """Make the environment anew.

        Raises:
            NotInstalledError: a package cannot be had.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        venv.create(self.folder)
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet"]
        done = subprocess.run(
            [*pip, "--disable-pip-version-check", "-r", str(self.requirements)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [f"pip ended with {done.returncode}"]
            errors = [line for line in lines if line.startswith("ERROR: ")]
            raise NotInstalledError((errors or lines)[-1].removeprefix("ERROR: "))
        shutil.copy(self.requirements, self._made_from)


PEERS = {
    file.stem: Peer(file, ENVIRONMENTS / file.stem) for file in sorted(HERE.glob("peers/*.txt"))
}


@cache
def python_of(name: str) -> Path | None:
    """The interpreter of a peer's environment, which is made if it is not there yet.

    It may take minutes, and is tried once in a process.

    Args:
        name: of ``PEERS``.

    Returns:
        None where the environment cannot be made; a line on stderr then says why.
    """
    peer = PEERS[name]
    if not peer.is_installed:
        print(f"installing {name} into {peer.folder}: minutes", file=sys.stderr, flush=True)
        try:
            peer.install()
        except NotInstalledError as error:
            print(f"{name} is not installed and left out: {error}", file=sys.stderr, flush=True)
            return None
    return peer.python


def main(names: Sequence[str]) -> int:
    """Make the environments of some peers, or of all; 1 if one of them cannot be made."""
    if unknown := set(names) - set(PEERS):
        known = ", ".join(PEERS)
        print(f"no peer {', '.join(sorted(unknown))}: there are {known}", file=sys.stderr)
        return 2
    return int(None in [python_of(name) for name in names or PEERS])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
