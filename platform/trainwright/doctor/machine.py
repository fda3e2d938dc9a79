"""Processors, memory, GPUs, and the network inside this machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

from trainwright.doctor.finding import Finding
from trainwright.orchestration.vitals import memory_now

if TYPE_CHECKING:
    from trainwright.job.models import ClusterSpec

LEAST_MEMORY = 1e9
COMFORTABLE_MEMORY = 3e9
COMFORTABLE_FILES = 1024


def gigabytes(size: float) -> str:
    """Bytes as ``3.2 GB``."""
    return f"{size / 1e9:.1f} GB"


def check_processors(cluster: ClusterSpec | None) -> Finding:
    """CPUs that this process may use, against what a job on a local Ray reserves."""
    have = _usable_cpus()
    if cluster is None or cluster.address != "local":
        return Finding("cpu", "ok", f"{have} usable")
    need = cluster.min_workers * cluster.cpus_per_worker
    if need <= have:
        most = min(cluster.max_workers * cluster.cpus_per_worker, have)
        return Finding("cpu", "ok", f"{have} usable, {most:g} reserved by the job")
    mend = f"-s cluster.cpus_per_worker={have / cluster.min_workers:g}, or fewer workers"
    return Finding("cpu", "stop", f"{have} usable, but the job reserves {need:g}", mend)


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_memory() -> Finding:
    """Memory that can be had without swapping, in a container within its limit."""
    memory = memory_now()
    free = memory.limit - memory.used
    says = f"{gigabytes(free)} of {gigabytes(memory.limit)} free"
    mend = "end other programs, or use fewer workers"
    if free < LEAST_MEMORY:
        return Finding("memory", "stop", says, mend)
    return (
        Finding("memory", "note", says, mend)
        if free < COMFORTABLE_MEMORY
        else (Finding("memory", "ok", says))
    )


def check_gpus(cluster: ClusterSpec | None) -> Finding:
    """CUDA devices, against what a job asks for."""
    import torch

    need = cluster.min_workers * cluster.gpus_per_worker if cluster is not None else 0
    remote = cluster is not None and cluster.address != "local"
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        says = f"{len(names)}: {', '.join(dict.fromkeys(names))}"
        if need <= len(names) or remote:
            return Finding("gpu", "ok", says)
        return Finding("gpu", "stop", f"{says}; the job asks for {need:g}", "use fewer workers")
    says = "none that torch can use; training runs on the CPU"
    if need and not remote:
        mend = "-s cluster.gpus_per_worker=0, or install a CUDA build of torch"
        return Finding("gpu", "stop", f"none that torch can use, the job asks for {need:g}", mend)
    return Finding("gpu", "ok", says)


def check_network() -> Iterator[Finding]:
    """Ports can be opened on this machine, and it can reach itself under its own name."""
    for name, host in (("ports", "127.0.0.1"), ("host name", socket.gethostname())):
        try:
            _talk_to_itself(host)
        except OSError as error:
            if name == "ports":
                mend = "allow programs to open ports on 127.0.0.1; Ray's processes need them"
                yield Finding(name, "stop", f"no connection to {host}: {error}", mend)
            else:
                mend = f"add `127.0.0.1 {host}` to /etc/hosts if workers cannot find each other"
                yield Finding(name, "note", f"{host} does not lead here: {error}", mend)
        else:
            yield Finding(name, "ok", f"{host} answers")


def _talk_to_itself(host: str) -> None:
    address = socket.gethostbyname(host)
    with socket.create_server((address, 0)) as server:
        server.settimeout(5)
        with socket.create_connection(server.getsockname()[:2], timeout=5):
            server.accept()[0].close()


def check_open_files() -> Finding:
    """How many files and connections a process may have open."""
    try:
        import resource
    except ImportError:  # not on Windows
        return Finding("open files", "ok", "no limit known")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= COMFORTABLE_FILES or soft == resource.RLIM_INFINITY:
        return Finding("open files", "ok", f"up to {soft} in a process")
    mend = f"ulimit -n {min(65536, hard)} in the shell before the run"
    return Finding("open files", "note", f"only {soft} in a process; Ray may need more", mend)
