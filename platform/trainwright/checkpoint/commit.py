"""What rank 0 does when its own shard is written: wait for the others, then write the manifest."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from trainwright.checkpoint.files import file_sizes
from trainwright.checkpoint.manifest import MANIFEST, Manifest, Sidecar, sidecar_name
from trainwright.checkpoint.pieces import merge
from trainwright.checkpoint.staging import Snapshot
from trainwright.errors import CheckpointError, StoreError
from trainwright.storage import Folder

_FIRST_POLL_S = 0.02
_LONGEST_POLL_S = 1.0
_READERS = 16
"""Sidecars that are read at the same time: a store takes tens of milliseconds for each."""


def commit(
    target: Folder,
    snapshot: Snapshot,
    own: Sidecar,
    timeout_s: float,
    given_up: threading.Event,
) -> Manifest:
    """Make the checkpoint in ``target`` count by writing its manifest.

    Args:
        target: the checkpoint's own folder.
        snapshot: what rank 0 wrote.
        own: rank 0's sidecar, which says how many ranks' must be there.
        timeout_s: how long to wait for them, in seconds.
        given_up: ends the waiting when it is set.

    Returns:
        The manifest.

    Raises:
        StoreError: a rank did not finish, or what is there is not what it wrote.
        CheckpointError: what the ranks wrote does not make whole tensors.
    """
    sizes = _await_sidecars(target, own.world_size, timeout_s, given_up)
    sidecars = [own, *_read_sidecars(target, snapshot, own.world_size)]
    files = {}
    for sidecar in sidecars:
        file = sidecar.shard
        if sizes.get(file) != sidecar.record.size:
            raise StoreError(
                f"{file} has {sizes.get(file, 0)} bytes instead of {sidecar.record.size}"
            )
        files[file] = sidecar.record
    manifest = Manifest(
        snapshot.name,
        own.world_size,
        snapshot.info,
        snapshot.state,
        tuple(sidecar.rank_state for sidecar in sidecars),
        files,
        merge(sidecar.index for sidecar in sidecars),
    )
    target.write_bytes(MANIFEST, manifest.to_bytes())
    return manifest


def _await_sidecars(
    target: Folder, world_size: int, timeout_s: float, given_up: threading.Event
) -> dict[str, int]:
    """The sizes of all files, once every rank's sidecar, which it writes last, is there."""
    deadline = time.monotonic() + timeout_s
    pause = _FIRST_POLL_S
    while True:
        sizes = file_sizes(target)
        missing = [r for r in range(world_size) if sidecar_name(r, world_size) not in sizes]
        if not missing:
            return sizes
        ranks = ", ".join(str(rank) for rank in missing)
        if time.monotonic() >= deadline:
            raise StoreError(f"rank {ranks} did not finish writing within {timeout_s:g} s")
        if given_up.wait(pause):
            raise StoreError(f"rank {ranks} did not finish writing")
        pause = min(_LONGEST_POLL_S, pause * 1.5)


def _read_sidecars(target: Folder, snapshot: Snapshot, world_size: int) -> list[Sidecar]:
    """Those of the other ranks."""

    def read(rank: int) -> Sidecar:
        return _read_sidecar(target, snapshot, rank, world_size)

    if world_size == 1:
        # A lone rank commits while its program ends too, when no pool can be had any more.
        return []
    with ThreadPoolExecutor(min(world_size - 1, _READERS)) as pool:
        return list(pool.map(read, range(1, world_size)))


def _read_sidecar(target: Folder, snapshot: Snapshot, rank: int, world_size: int) -> Sidecar:
    file = sidecar_name(rank, world_size)
    try:
        sidecar = Sidecar.from_bytes(target.read_bytes(file), file)
    except CheckpointError as error:
        raise StoreError(str(error)) from error
    if (sidecar.name, sidecar.rank, sidecar.world_size) != (snapshot.name, rank, world_size):
        raise StoreError(f"{file} belongs to {sidecar.name} or another rank")
    return sidecar
