"""Run the comparisons here, in jobs/federated and in jobs/nas: ``make bench-methods``.

python jobs/methods/bench.py                     all; ends with 1 unless every expectation holds
python jobs/methods/bench.py z_loss              some
python jobs/methods/bench.py --placebo           as placebos: in every one an expectation must fail

Each is `trainwright run FILE` in a process of its own. Runs go to build/methods, where a second
call finds them again; --fresh trains anew. The summary is in build/methods/summary.json as well.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

JOBS = Path(__file__).resolve().parents[1]
FOLDERS = (JOBS / "methods", JOBS / "federated", JOBS / "nas")
BUILD = JOBS.parent / "build" / "methods"


def comparisons() -> dict[str, Path]:
    """The comparisons of all folders by name; other jobs there are left out."""
    files = [file for folder in FOLDERS for file in sorted(folder.glob("*.yaml"))]
    kinds = {file: (yaml.safe_load(file.read_text()) or {}).get("kind") for file in files}
    return {file.stem: file for file in files if kinds[file] == "compare"}


def run(file: Path, options: Sequence[str]) -> dict[str, Any]:
    """Run one job file; its name, exit status, seconds, expectations, and what went wrong."""
    command = [sys.executable, "-m", "trainwright", "run", str(file), "--json", *options]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=BUILD)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = {}
    expectations = answer.get("expectations", [])
    return {
        "name": file.stem,
        "status": done.returncode,
        "seconds": time.monotonic() - began,
        "expectations": expectations,
        "trouble": None if done.returncode == 0 or expectations else _end(done.stderr),
    }


def _end(text: str) -> str:
    return "\n".join(text.rstrip().splitlines()[-15:])


def summary(found: Mapping[str, Any]) -> Iterable[str]:
    """One job in a line, and a line for each expectation that does not hold."""
    held = sum(one["holds"] for one in found["expectations"])
    verdict = "ok" if found["status"] == 0 else f"status {found['status']}"
    yield (
        f"{found['name']:<32} {found['seconds']:6.0f} s   "
        f"{held} of {len(found['expectations'])} hold   {verdict}"
    )
    if found["trouble"]:
        yield found["trouble"]
    for one in found["expectations"]:
        if not one["holds"]:
            sides = ", ".join(f"{side:.4g}" for side in one["sides"])
            yield f"    does not hold: {one['line']}   ({one['reason'] or sides})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the jobs, print a line for each; 0 if all ended with 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    files = comparisons()
    parser.add_argument("names", nargs="*", help="methods; default: all")
    parser.add_argument(
        "--placebo", action="store_true", help="the baseline in each method's place"
    )
    parser.add_argument("--fresh", action="store_true", help="train anew what has been trained")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(files):
        parser.error(f"no job {', '.join(sorted(unknown))}: there are {', '.join(files)}")
    BUILD.mkdir(parents=True, exist_ok=True)
    flags = ["-s", f"storage={BUILD / 'runs'}"]
    flags += [flag for flag in ("--placebo", "--fresh") if getattr(options, flag[2:])]
    records = []
    for name in options.names or files:
        records.append(run(files[name], flags))
        print(*summary(records[-1]), sep="\n", flush=True)
    (BUILD / "summary.json").write_text(json.dumps(records, indent=1))
    failed = [record["name"] for record in records if record["status"] != 0]
    minutes = sum(record["seconds"] for record in records) / 60
    print(f"{len(records) - len(failed)} of {len(records)} as expected, {minutes:.1f} minutes")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
