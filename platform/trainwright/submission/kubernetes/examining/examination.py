"""All that is looked at in a cluster, in the order in which it is told."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping

from trainwright.doctor.finding import Finding
from trainwright.errors import InputError
from trainwright.submission.kubernetes.api import Api
from trainwright.submission.kubernetes.examining.capacity import check_nodes, check_quota
from trainwright.submission.kubernetes.examining.named import check_named
from trainwright.submission.kubernetes.examining.permissions import (
    PROBING,
    check_permissions,
    lacking,
)
from trainwright.submission.kubernetes.examining.pod import Patience, Probe
from trainwright.submission.kubernetes.examining.reading import Reader, Unseen
from trainwright.submission.kubernetes.examining.serving import (
    check_kuberay,
    check_namespace,
    check_server,
)
from trainwright.submission.kubernetes.podlog import Pace
from trainwright.submission.kubernetes.rendering.pods import head_pod, worker_pod
from trainwright.submission.kubernetes.rendering.sizes import replicas_for
from trainwright.submission.kubernetes.resources import RAYCLUSTERS, Json
from trainwright.submission.probe import Questions, Trial
from trainwright.submission.probe.job import of_problems
from trainwright.submission.probe.versions import versions_here
from trainwright.submission.profile import Profile

_NAME = "doctor"
_ASK = "with the right to do so, the doctor looks from inside, too"


class Examination:
    """Looks at a namespace of a cluster.

    Args:
        api: the API server.
        profile: how jobs run.
        pace: how long to wait for a log.
        sleep: waits so many seconds.
        patience: how long to wait for the pod that looks from inside.
    """

    def __init__(
        self,
        api: Api,
        profile: Profile,
        pace: Pace,
        sleep: Callable[[float], None],
        patience: Patience | None = None,
    ) -> None:
        self._api = api
        self._profile = profile
        self._reader = Reader(api, profile.namespace)
        self._probe = Probe(api, profile, pace, sleep, patience)

    def findings(self, trial: Trial) -> Generator[Finding, None, None]:
        """One after the other.

        Raises:
            TargetError: the API server does not answer, or does not let the user in.
        """
        yield check_server(self._reader, self._api.host)
        yield from check_kuberay(self._reader)
        namespace = check_namespace(self._reader)
        yield namespace
        if namespace.state == "stop":
            return
        yield check_permissions(self._api, self._profile, trial.probes)
        yield from check_named(self._reader, self._profile)
        if self._profile.cluster is None:
            try:
                pods = self._pods(trial)
            except InputError as error:
                yield from of_problems("pods", error.problems)
                return
            yield from check_quota(self._reader, pods)
            yield from check_nodes(self._reader, pods)
        if trial.probes:
            yield from self._from_inside(trial)

    def _pods(self, trial: Trial) -> Mapping[str, tuple[Json, int]]:
        """Role -> spec of its pods, and how many there are in one job.

        Raises:
            InputError: the pods do not hold the processes of the job.
        """
        worker = self._profile.worker
        many = worker.replicas or 1
        if trial.parcel is not None:
            many = replicas_for(trial.parcel.need, worker)
        head = head_pod(_NAME, self._profile, many == 0)["spec"], 1
        if many == 0:
            return {"head": head}
        return {"head": head, "worker": (worker_pod(_NAME, self._profile)["spec"], many)}

    def _from_inside(self, trial: Trial) -> Iterator[Finding]:
        profile = self._profile
        questions = Questions(
            versions_here(),
            trial.storage or profile.storage,
            profile.tracking,
            gpus=profile.worker.gpu > 0,
        )
        if lacking(self._api, profile.namespace, PROBING):
            yield Finding("probe pod", "note", "not started, for you may not", _ASK)
            return
        try:
            template = self._head(trial)
        except Unseen:
            yield Finding(
                "probe pod", "note", "not started, for the head is not yours to see", _ASK
            )
            return
        if template is not None:
            yield from self._probe.findings(template, questions.packed(trial.parcel))

    def _head(self, trial: Trial) -> Json | None:
        """Template of the pod in which a job's driver would run; None where there is none.

        Raises:
            Unseen: the user may not read the running cluster.
        """
        if self._profile.cluster is None:
            trains = trial.parcel is not None and trial.parcel.need.workers == 0
            return head_pod(_NAME, self._profile, trains)
        cluster = self._reader.one(RAYCLUSTERS, self._profile.cluster)
        template: Json | None = cluster and cluster["spec"]["headGroupSpec"]["template"]
        return template
