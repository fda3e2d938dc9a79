"""Kubernetes as a target: each submission is a RayJob of KubeRay's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from functools import cached_property

from trainwright.doctor import Finding
from trainwright.errors import Problem
from trainwright.submission.kubernetes import marks
from trainwright.submission.kubernetes.api import Api
from trainwright.submission.kubernetes.creating import Maker
from trainwright.submission.kubernetes.driverlog import DriverLog
from trainwright.submission.kubernetes.ending import Ender
from trainwright.submission.kubernetes.following import Follower
from trainwright.submission.kubernetes.kept import kept_lines, place_of
from trainwright.submission.kubernetes.kubeconfig import reach
from trainwright.submission.kubernetes.looking import Looker
from trainwright.submission.kubernetes.podlog import Pace
from trainwright.submission.kubernetes.resources import RAYJOBS, Json, name_of
from trainwright.submission.kubernetes.states import has_ended, submission_of
from trainwright.submission.parcel import Parcel
from trainwright.submission.probe import Trial
from trainwright.submission.profile import Profile
from trainwright.submission.site import Site
from trainwright.submission.target import Submission, TargetError

_OURS = f"{marks.MANAGED_BY}={marks.OURS},{marks.SUBMISSION}"


class KubernetesTarget:
    """A namespace of a Kubernetes cluster in which KubeRay runs.

    Args:
        profile: how jobs run there.
        options: of the command line, that name it again.
        pace: how long to wait for what.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        profile: Profile,
        options: tuple[str, ...] = (),
        pace: Pace | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._profile = profile
        self._options = options
        self._pace = pace or Pace()
        self._sleep = sleep

    @property
    def label(self) -> str:
        """The target in words, for people."""
        context = f", context {self._profile.context}" if self._profile.context else ""
        return f"Kubernetes, namespace {self._profile.namespace}{context}"

    @property
    def options(self) -> tuple[str, ...]:
        """The options of the command line that name this target again."""
        return self._options

    @property
    def site(self) -> Site:
        """What a job may rely on there."""
        return self._profile.site

    def preview(self, submission: str, parcel: Parcel) -> str:
        """The manifests, as YAML; contacts nothing."""
        from trainwright.submission.kubernetes.rendering import text_of

        return text_of(self._manifests(submission, parcel))

    def all(self) -> list[Submission]:
        """Every submission of Trainwright's there, the newest first."""
        jobs = self._api.list(RAYJOBS, self._namespace, labels=_OURS).items
        found = [submission_of(job) for job in jobs]
        return sorted(found, key=lambda one: (-(one.submitted or 0.0), one.id))

    def find(self, submission: str) -> Submission | None:
        """One submission, with why it waits or failed; None where there is none of that name."""
        job = self._api.find(RAYJOBS, self._namespace, submission)
        return None if job is None or not _is_ours(job) else self._looker.look(job)

    def create(self, submission: str, parcel: Parcel) -> Submission:
        """Send a parcel.

        Raises:
            AlreadyThere: there is a submission of that name.
        """
        manifests = self._manifests(submission, parcel)
        return submission_of(Maker(self._api, self._namespace).make(manifests))

    def logs(self, submission: str) -> Iterator[str]:
        """The lines of its log so far; of one whose pods are gone, what was kept of it."""
        job = self._job(submission)
        pods = self._looker.submitters(job)
        if pods:
            log = DriverLog(self._api, self._looker, job, threading.Event(), self._pace)
            yield from log.so_far(pods)
        elif has_ended(job) or place_of(job):
            yield from kept_lines(job)

    def follow(self, submission: str) -> Iterator[str | Submission]:
        """Its log, line by line, and its state whenever that changes; see ``Target``."""
        job = self._job(submission)
        follower = Follower(self._api, self._looker, job, self.label, self._pace)
        yield from follower.events()

    def stop(self, submission: str) -> Submission:
        """Stop it; a job stopped in training writes a checkpoint if it is given the time."""
        return self._ender.stop(self._job(submission))

    def delete(self, submission: str) -> None:
        """Remove it from the target; the run in its storage stays."""
        self._ender.delete(self._job(submission))

    def examine(self, trial: Trial) -> Generator[Finding, None, None]:
        """Check whether a job could run there, one finding after the other."""
        from trainwright.submission.kubernetes.examining import Examination

        whole = Examination(self._api, self._profile, self._pace, self._sleep)
        yield from whole.findings(trial)

    @cached_property
    def _api(self) -> Api:
        return Api(reach(self._profile.context), self._sleep)

    @cached_property
    def _looker(self) -> Looker:
        return Looker(self._api, self._namespace)

    @cached_property
    def _ender(self) -> Ender:
        grace_s = self._profile.stop_seconds
        return Ender(self._api, self._namespace, self._looker, grace_s, self._sleep)

    @property
    def _namespace(self) -> str:
        return self._profile.namespace

    def _manifests(self, submission: str, parcel: Parcel) -> list[Json]:
        from trainwright.submission.kubernetes.rendering import render

        return render(submission, parcel, self._profile)

    def _job(self, submission: str) -> Json:
        job = self._api.find(RAYJOBS, self._namespace, submission)
        if job is None or not _is_ours(job):
            raise TargetError(Problem("", f"there is no submission at {self.label}", submission))
        return job


def _is_ours(job: Json) -> bool:
    labels = job["metadata"].get("labels") or {}
    return labels.get(marks.SUBMISSION) == name_of(job)
