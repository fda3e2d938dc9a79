"""One job through many faults, from the first command to the judgement."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import yaml

from chaos.faults import Fault
from chaos.judge import Evidence
from chaos.report import Happened, Result
from chaos.scene import HERE, Scene, StuckError, staged
from chaos.trace import Trace

JOB = yaml.safe_load((HERE / "chaos.yaml").read_text())
CHECKPOINT_EVERY = int(JOB["training"]["checkpoint_every"].split()[0])
STEPS_PER_FAULT = 3 * CHECKPOINT_EVERY
STEP_S = 0.1


def play(folder: Path, kinds: Sequence[Fault], count: int, seed: int) -> Result:
    """Run the job calmly, then under fire; compare.

    Args:
        folder: an empty folder.
        kinds: the kinds of fault; each comes before any comes again.
        count: number of faults.
        seed: decides which fault happens when, and to whom.
    """
    num_steps = STEPS_PER_FAULT * (count + 1)
    with staged(folder, seed, num_steps, STEP_S) as scene:
        _say(f"the job without faults, {num_steps} updates")
        calm = Trace.of(scene.run_calmly())
        began = time.time()
        happened: list[Happened] = []
        problem = None
        try:
            scene.command()
            _strike_all(scene, chosen(kinds, count, seed), began, happened)
            _finish(scene)
        except (StuckError, psutil.Error) as error:
            problem = str(error)
        evidence = Evidence.of(scene, calm, began)
        evidence.describe(happened)
        holds, fails = evidence.claims(scene.run())
        return Result(happened, [*([problem] if problem else []), *fails], holds)


def chosen(kinds: Sequence[Fault], count: int, seed: int) -> list[Fault]:
    """Faults in a random order in which none comes again before all others have come."""
    rng = random.Random(seed)
    found: list[Fault] = []
    while len(found) < count:
        found += rng.sample(kinds, len(kinds))
    return found[:count]


def _strike_all(
    scene: Scene, faults: Sequence[Fault], began: float, happened: list[Happened]
) -> None:
    for number, fault in enumerate(faults):
        target = STEPS_PER_FAULT * number + scene.rng.randint(5, STEPS_PER_FAULT - 5)
        # One whole checkpoint lies between two faults.
        target = max(target, scene.step + CHECKPOINT_EVERY + 5)
        again = scene.until_trained(target - 1)
        if happened:
            happened[-1].again += again
        time.sleep(scene.rng.uniform(0, 3 * STEP_S))
        entry = Happened(
            fault.name,
            time.time() - began,
            scene.step,
            allowed_lost=fault.checkpoints * CHECKPOINT_EVERY,
            allowed_again=fault.again,
        )
        happened.append(entry)
        _say(f"{number + 1}/{len(faults)} at update {entry.step}: {fault.name}")
        fault.strike(scene)
        entry.again = scene.until_trained(max(entry.step, scene.step))


def _finish(scene: Scene) -> None:
    scene.until(lambda: scene.exit_status() is not None, "the end of the run", 600)
    if scene.exit_status() != 0:
        raise StuckError(f"the run ended with {scene.exit_status()}:\n{scene.log_end()}")
    scene.mlflow.wait()


def _say(text: str) -> None:
    print(f"chaos: {text}", file=sys.stderr, flush=True)
