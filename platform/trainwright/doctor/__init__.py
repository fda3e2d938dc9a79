"""Whether this machine can run jobs, and what to do where it cannot."""

from __future__ import annotations

from trainwright.doctor.examination import Subject, examine
from trainwright.doctor.finding import Finding, State

__all__ = ["Finding", "State", "Subject", "examine"]
