"""Processor, memory, disk and GPU figures of one worker, sampled now and then."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

import psutil

from trainwright.tracking.writer import JournalWriter

_log = logging.getLogger(__name__)

_MEGABYTE = 1e6


class SystemSampler:
    """Feeds ``system/...`` metrics to a journal from a daemon thread.

    Names and units follow MLflow's own system metrics where it has them: percentages in
    [0, 100], sizes in megabytes (10^6 bytes). ``process_cpu_percentage`` is 100 per busy core.
    One sample costs well under a millisecond of processor time.

    Args:
        journal: where the samples go.
        step: gives the current step.
        disk: path whose file system is watched.
        interval_s: seconds between samples; the first is taken after the first interval.
    """

    def __init__(
        self,
        journal: JournalWriter,
        step: Callable[[], int],
        *,
        disk: str = ".",
        interval_s: float = 10.0,
    ) -> None:
        self._journal = journal
        self._step = step
        self._disk = disk
        self._interval_s = interval_s
        self._process = psutil.Process()
        self._process.cpu_percent()
        psutil.cpu_percent()
        self._gpu_utilization_works = True
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="system-metrics", daemon=True)
        self._thread.start()

    def sample(self) -> dict[str, float]:
        """One reading; the processor figures are means since the reading before."""
        memory = psutil.virtual_memory()
        disk = psutil.disk_usage(self._disk)
        values = {
            "cpu_utilization_percentage": psutil.cpu_percent(),
            "process_cpu_percentage": self._process.cpu_percent(),
            "process_memory_megabytes": self._process.memory_info().rss / _MEGABYTE,
            "system_memory_usage_megabytes": (memory.total - memory.available) / _MEGABYTE,
            "system_memory_usage_percentage": memory.percent,
            "disk_usage_megabytes": disk.used / _MEGABYTE,
            "disk_usage_percentage": disk.percent,
            **self._gpu(),
        }
        return {f"system/{name}": float(value) for name, value in values.items()}

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(self._interval_s)

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            try:
                values = self.sample()
            except (OSError, psutil.Error) as error:
                _log.warning("no system metrics any more: %s", error)
                return
            self._journal.metrics(self._step(), values)

    def _gpu(self) -> dict[str, float]:
        """Figures of the current CUDA device; empty unless this process uses one already."""
        torch: Any = sys.modules.get("torch")
        if torch is None or not torch.cuda.is_initialized():
            return {}
        device = torch.cuda.current_device()
        free, total = torch.cuda.mem_get_info(device)
        values = {
            f"gpu_{device}_memory_usage_megabytes": (total - free) / _MEGABYTE,
            f"gpu_{device}_memory_usage_percentage": 100 * (total - free) / total,
            f"gpu_{device}_allocated_megabytes": torch.cuda.memory_allocated(device) / _MEGABYTE,
        }
        if self._gpu_utilization_works:
            try:
                values[f"gpu_{device}_utilization_percentage"] = torch.cuda.utilization(device)
            except (ModuleNotFoundError, RuntimeError) as error:
                _log.info("GPU utilisation cannot be read: %s", error)
                self._gpu_utilization_works = False
        return values
