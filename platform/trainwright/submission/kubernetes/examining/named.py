"""The objects that a profile names: do they exist?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trainwright.doctor.finding import Finding
from trainwright.submission.kubernetes.examining.reading import (
    ACCOUNTS,
    CLAIMS,
    PRIORITIES,
    QUEUE_PRIORITIES,
    QUEUES,
    SECRETS,
    Reader,
    Unseen,
)
from trainwright.submission.kubernetes.explain.scene import condition_of
from trainwright.submission.kubernetes.resources import RAYCLUSTERS, Json, Resource
from trainwright.submission.profile import Profile, Volume


def check_named(reader: Reader, profile: Profile) -> Iterator[Finding]:
    """Each object that the profile names, whether it is there and as it should be."""
    yield _account(reader, profile.service_account)
    if profile.cluster is not None:
        yield _cluster(reader, profile.cluster)
    else:
        yield from _secrets(reader, profile)
        for volume in profile.volumes:
            yield _claim(reader, volume)
    if profile.queue is not None:
        yield _queue(reader, profile.queue)
    if profile.priority is not None:
        kinds = (PRIORITIES,) if profile.queue is None else QUEUE_PRIORITIES
        yield _priority(reader, kinds, profile.priority)


def _unseen(name: str, resource: Resource, what: str) -> Finding:
    says = f"{what} is not yours to see, and was not checked"
    return Finding(name, "note", says, f"ask for the right to get {resource.qualified}, or try")


def _account(reader: Reader, account: str) -> Finding:
    name = "service account"
    try:
        found = reader.one(ACCOUNTS, account)
    except Unseen:
        return _unseen(name, ACCOUNTS, account)
    if found is None:
        mend = "`kubectl apply -k k8s/base` makes it; or name another in the profile"
        return Finding(name, "stop", f"there is no {account} in {reader.namespace}", mend)
    return Finding(name, "ok", account)


def _secrets(reader: Reader, profile: Profile) -> Iterator[Finding]:
    wanted: dict[str, set[str]] = {
        name: set() for name in (*profile.pull_secrets, *profile.secrets)
    }
    for entry in profile.secret_environment.values():
        wanted.setdefault(entry.secret, set()).add(entry.key)
    for secret, keys in sorted(wanted.items()):
        yield _secret(reader, secret, keys, secret in profile.pull_secrets)


def _secret(reader: Reader, secret: str, keys: set[str], pulls: bool) -> Finding:
    name = "secret"
    try:
        found = reader.one(SECRETS, secret)
    except Unseen:
        return _unseen(name, SECRETS, secret)
    if found is None:
        create = f"kubectl -n {reader.namespace} create secret generic {secret}"
        mend = (
            f"`{create} --from-literal={min(keys, default='NAME')}=VALUE`, or correct the profile"
        )
        if pulls:
            create = f"kubectl -n {reader.namespace} create secret docker-registry {secret}"
            mend = f"`{create} --docker-server=...`, or correct `pull_secrets` of the profile"
        return Finding(name, "stop", f"there is no {secret} in {reader.namespace}", mend)
    if missing := sorted(keys - (found.get("data") or {}).keys()):
        mend = f"`kubectl -n {reader.namespace} edit secret {secret}`, or correct the profile"
        return Finding(name, "stop", f"{secret} has no entry {', '.join(missing)}", mend)
    return Finding(name, "ok", secret)


def _claim(reader: Reader, volume: Volume) -> Finding:
    name, claim = "volume", volume.claim
    try:
        found = reader.one(CLAIMS, claim)
    except Unseen:
        return _unseen(name, CLAIMS, claim)
    if found is None:
        says = f"there is no PersistentVolumeClaim {claim} in {reader.namespace}"
        return Finding(name, "stop", says, "make it, or change `volumes` in the profile")
    phase = str((found.get("status") or {}).get("phase"))
    if phase == "Lost":
        mend = "make the claim again, with a volume that is there"
        return Finding(name, "stop", f"{claim} has lost its volume", mend)
    modes = found["spec"].get("accessModes") or []
    if not {"ReadWriteMany", "ReadOnlyMany"} & set(modes):
        mend = "make it ReadWriteMany, or keep all pods on one node by `node_selector`"
        says = f"{claim} is {', '.join(modes)}: pods on several nodes cannot have it at once"
        return Finding(name, "note", says, mend)
    if phase == "Pending":
        mend = f"`kubectl -n {reader.namespace} describe pvc {claim}`; some come with the first pod"
        return Finding(name, "note", f"{claim} has no volume yet", mend)
    return Finding(name, "ok", f"{claim} at {volume.path}")


def _queue(reader: Reader, queue: str) -> Finding:
    name = "queue"
    try:
        found = _first(reader, QUEUES, queue)
    except Unseen:
        return _unseen(name, QUEUES[0], queue)
    if found is None:
        mend = "`kubectl get localqueues` shows those there are; k8s/overlays/kueue makes one"
        says = f"there is no LocalQueue {queue} in {reader.namespace}, or no Kueue"
        return Finding(name, "stop", says, mend)
    active = condition_of(found, "Active")
    if active.get("status") == "False":
        mend = "whoever runs Kueue mends its ClusterQueue; jobs wait until then"
        return Finding(name, "stop", f"{queue} is not active: {active.get('message')}", mend)
    return Finding(name, "ok", queue)


def _priority(reader: Reader, kinds: Sequence[Resource], priority: str) -> Finding:
    name = "priority"
    try:
        found = _first(reader, kinds, priority)
    except Unseen:
        return _unseen(name, kinds[0], priority)
    if found is None:
        mend = f"`kubectl get {kinds[0].plural}` shows those there are; correct the profile"
        return Finding(name, "stop", f"there is no {kinds[0].kind} {priority}", mend)
    return Finding(name, "ok", priority)


def _first(reader: Reader, kinds: Sequence[Resource], name: str) -> Json | None:
    """An object of whichever version of its kind the cluster serves."""
    return next((found for kind in kinds if (found := reader.one(kind, name)) is not None), None)


def _cluster(reader: Reader, cluster: str) -> Finding:
    name = "ray cluster"
    try:
        found = reader.one(RAYCLUSTERS, cluster)
    except Unseen:
        return _unseen(name, RAYCLUSTERS, cluster)
    if found is None:
        mend = "`kubectl get rayclusters` shows those there are; correct `cluster` in the profile"
        return Finding(name, "stop", f"there is no {cluster} in {reader.namespace}", mend)
    status = found.get("status") or {}
    state = status.get("state") or "has not begun"
    if state != "ready":
        mend = f"`kubectl -n {reader.namespace} describe raycluster {cluster}` shows why"
        return Finding(name, "note", f"{cluster}: {state}", mend)
    workers = status.get("availableWorkerReplicas", 0)
    return Finding(name, "ok", f"{cluster} is ready, {workers} workers")
