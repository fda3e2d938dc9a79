"""Send one job through many faults and judge what is left of it: ``make chaos``.

PYTHONPATH=jobs python -m chaos                      30 faults of all kinds
PYTHONPATH=jobs python -m chaos --faults 6 --seed 3  a few, others
PYTHONPATH=jobs python -m chaos --only node          kinds whose name has this word
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from chaos.faults import ALL
from chaos.game import play
from chaos.report import table


def main(arguments: Sequence[str] | None = None) -> int:
    """Play, print the table and what does not hold.

    Returns:
        0 if everything holds, otherwise 1.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--faults", type=int, default=30, help="how many; default: 30")
    parser.add_argument("--seed", type=int, default=0, help="decides what happens when")
    parser.add_argument("--only", help="kinds of fault whose name has this word")
    options = parser.parse_args(arguments)
    kinds = [fault for fault in ALL if not options.only or options.only in fault.name]
    if not kinds:
        parser.error(f"no such kind of fault; there are: {', '.join(f.name for f in ALL)}")
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as folder:
        result = play(Path(folder), kinds, options.faults, options.seed)
    print(f"\n{table(result.faults)}\n")
    for claim in result.claims:
        print(f"holds: {claim}")
    for complaint in result.all_complaints:
        print(f"DOES NOT HOLD: {complaint}")
    return 1 if result.all_complaints else 0


if __name__ == "__main__":
    sys.exit(main())
