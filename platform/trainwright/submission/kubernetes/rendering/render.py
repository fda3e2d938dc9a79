"""Everything that one submission puts into a cluster."""

from __future__ import annotations

from trainwright.submission.kubernetes.rendering.extras import (
    Manifest,
    network_policy,
    parcel_map,
)
from trainwright.submission.kubernetes.rendering.rayjob import ray_job
from trainwright.submission.parcel import Parcel
from trainwright.submission.profile import Profile


def render(submission: str, parcel: Parcel, profile: Profile) -> list[Manifest]:
    """The manifests of a submission; the same ones for the same arguments.

    Args:
        submission: its name, as ``names.submission_id`` gives it.
        parcel: the job.
        profile: how the cluster runs it.

    Returns:
        In the order in which they are created: the ConfigMap with the parcel, the NetworkPolicy
        of its pods (none on a running cluster, whose pods are its own), and the RayJob.

    Raises:
        InputError: the pods of the profile do not hold the processes of the job.
    """
    job = ray_job(submission, parcel, profile)
    manifests = [parcel_map(submission, parcel, profile)]
    if profile.cluster is None:
        manifests.append(network_policy(submission, profile))
    return [*manifests, job]
