"""Run as a program: forks groups of ranks that save checkpoints, as told on standard input.

One JSON object a line: ``{"do": "start", "url", "world", "attempt", "first", "count", "numel"}``
answers with the pids; ``{"do": "join"}`` waits for them and answers with their exit statuses.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any

import torch

from trainwright.checkpoint import CheckpointWriter, Piece
from trainwright.storage import Folder


def save_steps(rank: int, command: dict[str, Any]) -> None:
    world, numel = command["world"], command["numel"]
    writer = CheckpointWriter(Folder(command["url"]), rank, world, keep_last=2, commit_timeout_s=60)
    share = -(-numel // world)
    start, stop = min(numel, rank * share), min(numel, (rank + 1) * share)
    weight = torch.empty(stop - start)
    for step in range(command["first"], command["first"] + command["count"]):
        weight.fill_(float(step))
        pieces = [Piece("param", "model.weight", (numel,), start, weight)]
        state = {"step": step, "mean": torch.tensor(float(step))}
        rank_state = {"rank": rank, "draws": torch.full((7,), step * 10 + rank)}
        writer.save(step, command["attempt"], pieces, state, rank_state, {"epoch": step})
    writer.wait()


def start(command: dict[str, Any]) -> list[int]:
    pids = []
    for rank in range(command["world"]):
        pid = os.fork()
        if pid == 0:
            status = 0
            try:
                save_steps(rank, command)
            except BaseException:
                traceback.print_exc()
                status = 1
            os._exit(status)
        pids.append(pid)
    return pids


def main() -> None:
    pids: list[int] = []
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "start":
            pids = start(command)
            print(json.dumps(pids), flush=True)
        else:
            statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
            print(json.dumps(statuses), flush=True)


if __name__ == "__main__":
    main()
