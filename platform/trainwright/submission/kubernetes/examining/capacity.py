"""Whether pods of a profile's shapes fit: into the quota of the namespace, and onto nodes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal

from trainwright.doctor.finding import Finding
from trainwright.submission.kubernetes.examining.reading import NODES, QUOTAS, Reader, Unseen
from trainwright.submission.kubernetes.resources import Json, labels_of

_KEEPS_OUT = ("NoSchedule", "NoExecute")


def check_quota(reader: Reader, pods: Mapping[str, tuple[Json, int]]) -> Iterator[Finding]:
    """Whether the quotas of the namespace leave room for a job's pods.

    Args:
        reader: of the namespace.
        pods: role -> the pod's spec, and how many there will be.
    """
    wanted: defaultdict[str, Decimal] = defaultdict(Decimal)
    for spec, many in pods.values():
        wanted["pods"] += many
        for kind in ("requests", "limits"):
            for resource, amount in _resources(spec, kind).items():
                wanted[f"{kind}.{resource}"] += amount * many
                if kind == "requests":
                    wanted[resource] += amount * many
    try:
        quotas = reader.all(QUOTAS)
    except Unseen:
        return
    for quota in quotas:
        yield _quota(quota, wanted)


def _quota(quota: Json, wanted: Mapping[str, Decimal]) -> Finding:
    status = quota.get("status") or {}
    used = status.get("used") or {}
    short = [
        f"{resource}: {_shown(wanted[resource])} wanted, {used.get(resource, 0)} of {hard} in use"
        for resource, hard in (status.get("hard") or {}).items()
        if wanted.get(resource)
        and wanted[resource] > _number(hard) - _number(used.get(resource, 0))
    ]
    name = quota["metadata"]["name"]
    if short:
        mend = "stop what is not needed, ask for less in the profile, or for a larger quota"
        return Finding("quota", "note", f"{name} leaves too little: {'; '.join(short)}", mend)
    return Finding("quota", "ok", f"{name} leaves room")


def check_nodes(reader: Reader, pods: Mapping[str, tuple[Json, int]]) -> Iterator[Finding]:
    """Whether there are nodes for each kind of pod, and how many pods they could hold.

    Args:
        reader: of the namespace.
        pods: role -> the pod's spec, and how many there will be.
    """
    try:
        nodes = reader.all(NODES)
    except Unseen:
        says = "they are not yours to see: whether pods fit onto them was not checked"
        yield Finding("nodes", "note", says, "ask for the right to list nodes, or try")
        return
    for role, (spec, many) in pods.items():
        yield _places(nodes, role, spec, many)


def _places(nodes: list[Json], role: str, spec: Json, many: int) -> Finding:
    name = f"nodes ({role})"
    needs = _resources(spec, "requests")
    shown = ", ".join(f"{_shown(amount)} {resource}" for resource, amount in needs.items())
    fitting = [node for node in nodes if _labelled(node, spec)]
    if not fitting:
        selector = ", ".join(f"{key}={value}" for key, value in spec["nodeSelector"].items())
        mend = f"correct `{role}.node_selector`, unless an autoscaler brings such nodes"
        return Finding(name, "note", f"none of {len(nodes)} has the labels {selector}", mend)
    open_to = [node for node in fitting if _lets_in(node, spec)]
    if not open_to:
        taints = sorted({str(t["key"]) for node in fitting for t in _taints(node)}) or ["cordoned"]
        mend = f"if these are meant, add the taint to `{role}.tolerations` in the profile"
        says = f"all {len(fitting)} keep pods out: {', '.join(taints)}"
        return Finding(name, "note", says, mend)
    room = sum(_holds(node, needs) for node in open_to)
    if room < many:
        mend = f"ask for less in `{role}`, or for fewer workers, unless an autoscaler adds nodes"
        if absent := [name for name in needs if "/" in name and not _anywhere(name, open_to)]:
            mend = f"none of them tells of {absent[0]}: does its device plugin run? else {mend}"
        says = f"the {len(open_to)} that may be used hold {room} pods of {many} ({shown}), if empty"
        return Finding(name, "note", says, mend)
    return Finding(
        name, "ok", f"{len(open_to)} may be used; room for {room} pods ({shown}) if empty"
    )


def _resources(spec: Json, kind: str) -> dict[str, Decimal]:
    found = (spec["containers"][0].get("resources") or {}).get(kind) or {}
    return {resource: _number(amount) for resource, amount in found.items()}


def _number(quantity: object) -> Decimal:
    from kubernetes.utils.quantity import parse_quantity

    number: Decimal = parse_quantity(quantity)
    return number


def _shown(amount: Decimal) -> str:
    value = float(amount)
    return f"{value / 2**30:g}Gi" if value >= 2**20 else f"{value:g}"


def _labelled(node: Json, spec: Json) -> bool:
    labels = labels_of(node)
    return all(labels.get(key) == value for key, value in (spec.get("nodeSelector") or {}).items())


def _lets_in(node: Json, spec: Json) -> bool:
    if (node.get("spec") or {}).get("unschedulable"):
        return False
    tolerations = spec.get("tolerations") or []
    return all(any(_tolerates(one, taint) for one in tolerations) for taint in _taints(node))


def _taints(node: Json) -> list[Json]:
    taints = (node.get("spec") or {}).get("taints") or []
    return [taint for taint in taints if taint.get("effect") in _KEEPS_OUT]


def _tolerates(toleration: Json, taint: Json) -> bool:
    if toleration.get("effect") not in (None, taint["effect"]):
        return False
    if toleration.get("key") not in (None, taint["key"]):
        return False
    is_any = toleration.get("operator", "Equal") == "Exists"
    return is_any or str(toleration.get("value", "")) == str(taint.get("value", ""))


def _anywhere(resource: str, nodes: list[Json]) -> bool:
    return any(_number(_allocatable(node).get(resource, 0)) for node in nodes)


def _allocatable(node: Json) -> Json:
    return (node.get("status") or {}).get("allocatable") or {}


def _holds(node: Json, needs: Mapping[str, Decimal]) -> int:
    """How many such pods the node would hold if nothing else ran there."""
    has = _allocatable(node)
    return min(
        (int(_number(has.get(name, 0)) // amount) for name, amount in needs.items() if amount),
        default=0,
    )
