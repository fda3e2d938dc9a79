"""Makes the modules in ``jobs/benchmarks`` importable, as they are when ``run_all.py`` runs."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "jobs" / "benchmarks"))
