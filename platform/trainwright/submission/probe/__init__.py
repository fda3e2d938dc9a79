"""Looking at a cluster from inside: what a job would find there, told line by line in a log.

The sender asks (``questions``), ``python -m trainwright.submission.inside.probe`` looks around on
the cluster (``looking``) and tells (``telling``), and the sender hears it out of the log.
"""

from __future__ import annotations

from trainwright.submission.probe.questions import Questions, Trial
from trainwright.submission.probe.telling import Hearing

PROBE_MODULE = "trainwright.submission.inside.probe"
"""What looks around on the cluster, in the folder of a parcel: ``python -m`` this."""

__all__ = ["PROBE_MODULE", "Hearing", "Questions", "Trial"]
