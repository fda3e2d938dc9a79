"""What a user may do in a namespace, against what the commands ask of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from trainwright.doctor.finding import Finding
from trainwright.submission.kubernetes.api import Api
from trainwright.submission.kubernetes.examining.reading import REVIEWS
from trainwright.submission.kubernetes.resources import (
    CONFIGMAPS,
    EVENTS,
    NETWORKPOLICIES,
    PODS,
    RAYCLUSTERS,
    RAYJOBS,
    WORKLOADS,
    Resource,
)
from trainwright.submission.profile import Profile

ROLE = "trainwright-user"
"""Name of the Role that is proposed to a user who lacks rights."""


@dataclass(frozen=True)
class Right:
    """Some verbs on one kind of object.

    Attributes:
        resource: the kind.
        verbs: what is done with it.
        without: what does not work without them.
        needed: whether no job can be sent without them.
        subresource: as ``log``.
    """

    resource: Resource
    verbs: tuple[str, ...]
    without: str
    needed: bool = False
    subresource: str = ""

    @property
    def plural(self) -> str:
        """As in a Role: ``pods/log``."""
        return "/".join(filter(None, (self.resource.plural, self.subresource)))


PROBING = Right(PODS, ("create", "delete"), "doctor cannot look from inside")


def rights(profile: Profile, probes: bool) -> list[Right]:
    """Everything that submit, status, logs, stop, list and delete ask of the API server.

    Args:
        profile: how jobs run.
        probes: whether the doctor starts a pod, too.
    """
    wanted = [
        Right(RAYJOBS, ("create", "get", "list"), "no job can be sent", needed=True),
        Right(RAYJOBS, ("watch",), "`logs -f` does not follow"),
        Right(RAYJOBS, ("patch",), "`stop` does not work"),
        Right(RAYJOBS, ("delete",), "`delete` does not work"),
        Right(CONFIGMAPS, ("create", "get"), "no job can be sent", needed=True),
        Right(CONFIGMAPS, ("patch", "list", "delete"), "parcels of deleted jobs stay"),
        Right(PODS, ("get", "list"), "`status` does not say why a job waits"),
        Right(PODS, ("get",), "`logs` shows nothing", subresource="log"),
        Right(EVENTS, ("list",), "`status` does not say why a pod is not made"),
        Right(RAYCLUSTERS, ("get",), "`status` does not say why there are no pods"),
    ]
    if profile.cluster is None:
        wanted += [
            Right(NETWORKPOLICIES, ("create", "get"), "no job can be sent", needed=True),
            Right(NETWORKPOLICIES, ("patch", "list", "delete"), "policies of deleted jobs stay"),
        ]
    if profile.queue is not None:
        without = "`stop` does not work for jobs in a queue"
        wanted.append(Right(WORKLOADS[0], ("list", "patch"), without))
    if probes:
        wanted.append(PROBING)
    return wanted


def check_permissions(api: Api, profile: Profile, probes: bool) -> Finding:
    """Ask the API server about every right; all that are missing, with a Role that gives them."""
    wanted = rights(profile, probes)
    namespace = profile.namespace
    missing = [found for right in wanted if (found := lacking(api, namespace, right))]
    if not missing:
        many = sum(len(right.verbs) for right in wanted)
        return Finding("permissions", "ok", f"all {many} that the commands need")
    texts = [f"{', '.join(right.verbs)} {right.plural}: {right.without}" for right in missing]
    says = f"you may not {'; '.join(texts)}"
    is_needed = any(right.needed for right in missing)
    mend = f"whoever runs the cluster gives them by\n{role_of(namespace, missing)}"
    return Finding("permissions", "stop" if is_needed else "note", says, mend)


def lacking(api: Api, namespace: str, right: Right) -> Right | None:
    """The verbs of a right that the user does not have; None for none."""
    verbs = tuple(verb for verb in right.verbs if not _may(api, namespace, right, verb))
    return replace(right, verbs=verbs) if verbs else None


def _may(api: Api, namespace: str, right: Right, verb: str) -> bool:
    attributes = {
        "namespace": namespace,
        "verb": verb,
        "group": right.resource.group,
        "resource": right.resource.plural,
        "subresource": right.subresource,
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": REVIEWS.kind,
        "spec": {"resourceAttributes": attributes},
    }
    answer = api.create(REVIEWS, "", review)
    return bool((answer.get("status") or {}).get("allowed"))


def role_of(namespace: str, missing: Iterable[Right]) -> str:
    """A Role with rights, as text for ``kubectl apply``, and the command that gives it to a user.

    Rules about the same kind of object become one.
    """
    verbs: dict[tuple[str, str], list[str]] = {}
    for right in missing:
        verbs.setdefault((right.resource.group, right.plural), []).extend(right.verbs)
    rules = [
        f'  - {{apiGroups: ["{group}"], resources: ["{plural}"], verbs: [{", ".join(asked)}]}}'
        for (group, plural), asked in verbs.items()
    ]
    bind = f"kubectl -n {namespace} create rolebinding {ROLE} --role={ROLE} --user=YOU"
    return "\n".join(
        [
            "apiVersion: rbac.authorization.k8s.io/v1",
            "kind: Role",
            f"metadata: {{name: {ROLE}, namespace: {namespace}}}",
            "rules:",
            *rules,
            f"# kubectl apply -f FILE, then {bind}",
        ]
    )
