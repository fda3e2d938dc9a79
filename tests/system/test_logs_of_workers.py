"""The end of a lost worker's log, which lies on the machine where it ran."""

from __future__ import annotations

from pathlib import Path

import ray

from trainwright.orchestration.vitals import Memory, Vitals
from trainwright.orchestration.worker_logs import excerpt
from trainwright.storage import Folder


def test_it_is_read_there_or_else_from_the_last_copy(cluster: None, tmp_path: Path) -> None:
    run = Folder("memory://a-run-in-a-store")
    run.write_bytes("logs/worker-1.log", b"an older copy")
    log = tmp_path / "worker.log"
    log.write_text("its last words")
    here = ray.get_runtime_context().get_node_id()
    there = Vitals(here, "another-machine", 7, "group", str(log), Memory(1, 1, 2))
    assert excerpt(run, 1, there).endswith("logs/worker-1.log:\n  | its last words")
    gone = Vitals("0" * 56, "another-machine", 7, "group", str(log), Memory(1, 1, 2))
    assert excerpt(run, 1, gone).endswith("  | an older copy")
    run.remove("")
