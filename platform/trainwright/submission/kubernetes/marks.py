"""What is written on the objects of a submission, so that they are found and understood again."""

from __future__ import annotations

NAME = "app.kubernetes.io/name"
"""Label of every pod, by which network policies choose them; its value is ``OURS``."""

MANAGED_BY = "app.kubernetes.io/managed-by"
"""Label of every object that a submission makes; its value is ``OURS``."""

OURS = "trainwright"

SUBMISSION = "trainwright/submission"
"""Label: the submission that an object belongs to, its name."""

JOB = "trainwright/job"
"""Annotation: the job's ``name``."""

KIND = "trainwright/kind"
"""Annotation: the job's ``kind``."""

DIGEST = "trainwright/digest"
"""Annotation: that of the parcel."""

RUN = "trainwright/run"
"""Annotation: the name of the run; written by the sender where it knows, and by the driver."""

STORAGE = "trainwright/storage"
"""Annotation: URL of the run's folder, written by the driver."""

PROGRESS = "trainwright/progress"
"""Annotation: how far the run is (``Progress.to_text``), written by the driver."""

RAYJOB = "TRAINWRIGHT_RAYJOB"
"""Environment variable of the driver: ``NAMESPACE/NAME`` of its RayJob."""

STOPPED = "trainwright/stopped"
"""Annotation: when a user stopped the submission, seconds since 1970."""

SENDER = "trainwright/sender"
"""Annotation: who made the object; a random text, by which a sender knows its own again."""

QUEUE = "kueue.x-k8s.io/queue-name"
"""Label of Kueue's: the queue in which a job waits."""
