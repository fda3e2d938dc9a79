"""Whether jobs could run in a namespace of Kubernetes, and what to mend where they could not."""

from __future__ import annotations

from trainwright.submission.kubernetes.examining.examination import Examination

__all__ = ["Examination"]
