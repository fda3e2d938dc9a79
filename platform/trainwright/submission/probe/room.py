"""What a process has to itself on the cluster: folders that can be written, shared memory, CUDA."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from trainwright.doctor.finding import Finding, State
from trainwright.doctor.machine import gigabytes
from trainwright.doctor.places import COMFORTABLE_DISK, LEAST_DISK

COMFORTABLE_SHARED = 1e9
"""Ray keeps its objects in shared memory, and data loaders hand batches over in it."""


def check_folders(temporary: Path | None = None, shared: Path | None = None) -> Iterator[Finding]:
    """Temporary files can be written, and there is room for them and in shared memory.

    Args:
        temporary: default: where the system has its temporary files.
        shared: default: ``/dev/shm``.
    """
    yield _temporary(temporary or Path(tempfile.gettempdir()))
    yield _shared(shared or Path("/dev/shm"))  # noqa: S108 - it is measured, nothing is written


def _temporary(folder: Path) -> Finding:
    name = str(folder)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"a trial by trainwright doctor\n")
    except OSError as error:
        mend = f"mount a volume that can be written at {folder}, an emptyDir for example"
        return Finding(name, "stop", f"cannot be written: {error.strerror or error}", mend)
    free = shutil.disk_usage(folder).free
    mend = "give the pods more scratch space, or free some on that machine"
    if free < COMFORTABLE_DISK:
        state: State = "stop" if free < LEAST_DISK else "note"
        return Finding(name, state, f"only {gigabytes(free)} free", mend)
    return Finding(name, "ok", f"can be written, {gigabytes(free)} free")


def _shared(folder: Path) -> Finding:
    name = str(folder)
    try:
        total = shutil.disk_usage(folder).total
    except OSError as error:
        mend = "mount an emptyDir with medium: Memory there; Ray uses files instead, which is slow"
        return Finding(name, "note", f"not there: {error.strerror or error}", mend)
    if total < COMFORTABLE_SHARED:
        mend = "make it larger (docker run --shm-size, an emptyDir with medium: Memory); Ray and "
        mend += "data loaders hand data over in it"
        return Finding(name, "note", f"only {gigabytes(total)}", mend)
    return Finding(name, "ok", gigabytes(total))


def check_cuda(wanted: bool) -> Finding:
    """GPUs that torch sees; where there are none, whether it could use some.

    Args:
        wanted: whether workers are to have GPUs; the process that looks may have none itself.
    """
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return Finding("gpu", "ok", f"{len(names)} here: {', '.join(dict.fromkeys(names))}")
    built = torch.version.cuda or torch.version.hip
    if built is None:
        says = "torch is built without CUDA"
        if wanted:
            mend = "install a CUDA build of torch on the cluster, or in its image"
            return Finding("gpu", "stop", f"{says}, but workers are to have GPUs", mend)
        return Finding("gpu", "ok", f"none; {says}, training runs on the CPU")
    return Finding("gpu", "ok", f"none in this process; torch is built for CUDA {built}")
