"""Python, the libraries, the plugins, and compilers where they are needed."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from trainwright.doctor.finding import Finding
from trainwright.doctor.probe import try_out
from trainwright.doctor.versions import Library, in_range, libraries
from trainwright.errors import PluginError

if TYPE_CHECKING:
    from trainwright.job.models import TrainJob

SHOWN = ("torch", "ray", "deepspeed", "mlflow")


def check_python() -> Finding:
    """The interpreter's version."""
    here = ".".join(str(part) for part in sys.version_info[:3])
    allowed = importlib.metadata.metadata("trainwright")["Requires-Python"]
    if in_range(here, allowed):
        return Finding("python", "ok", f"{here} ({sys.executable})")
    return Finding("python", "stop", f"{here}, but {allowed} is needed", "install a newer Python")


def check_libraries() -> Iterator[Finding]:
    """Every library in its range; the four that matter most by name."""
    rest = []
    for library in libraries("trainwright", sys.platform):
        if library.name in SHOWN or not library.fits:
            yield _library(library)
        else:
            rest.append(library.name)
    yield Finding("libraries", "ok", f"{len(rest)} more in their ranges")


def _library(library: Library) -> Finding:
    if library.fits:
        return Finding(library.name, "ok", f"{library.installed} ({library.allowed})")
    there = f"{library.installed} is installed" if library.installed else "not installed"
    mend = f'{sys.executable} -m pip install "{library.name}{library.allowed}"'
    return Finding(library.name, "stop", f"{there}, {library.allowed} is needed", mend)


def check_deepspeed() -> Finding:
    """Whether DeepSpeed can be imported; on other systems than Linux it is not used."""
    if sys.platform != "linux":
        return Finding("import deepspeed", "note", "not on this system", "use engine: local")
    code = "import os; os.environ.setdefault('DS_ACCELERATOR', 'cpu'); import deepspeed"
    probe = try_out(code, timeout_s=120)
    if probe.worked:
        return Finding("import deepspeed", "ok", "works")
    mend = "reinstall deepspeed for this torch, or use engine: local"
    return Finding("import deepspeed", "stop", probe.trouble, mend)


def check_compilers(job: TrainJob | None) -> Finding:
    """g++ and ninja are needed for offloading to NVMe only; nothing else is compiled."""
    if job is None or not _offloads_to_nvme(job):
        return Finding("compilers", "ok", "not needed: nothing is compiled at run time")
    missing = [tool for tool in ("g++", "ninja") if shutil.which(tool) is None]
    if not missing:
        return Finding("compilers", "ok", "g++ and ninja are there (for offloading to NVMe)")
    mend = f"install {' and '.join(missing)}, or offload to cpu"
    return Finding("compilers", "stop", "offloading to NVMe compiles code at run time", mend)


def _offloads_to_nvme(job: TrainJob) -> bool:
    # Only jobs of kind train have the section.
    zero = getattr(job, "deepspeed", {}).get("zero_optimization") or {}
    sections = [zero.get("offload_optimizer"), zero.get("offload_param")]
    return any(isinstance(part, dict) and part.get("device") == "nvme" for part in sections)


def check_plugins() -> Iterator[Finding]:
    """Every plugin that an installed package declares, imported."""
    from trainwright.plugins import GROUPS, find
    from trainwright.plugins.entries import declared

    good = 0
    for group in GROUPS:
        for name in sorted(declared(group)):
            try:
                find(group, name)
                good += 1
            except PluginError as error:
                mend = "repair or uninstall that package; other plugins are not affected"
                yield Finding(f"plugin {group}/{name}", "note", error.problems[0].message, mend)
    yield Finding("plugins", "ok", f"{good} declared by packages can be imported")
