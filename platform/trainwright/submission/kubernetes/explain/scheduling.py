"""Why pods find no node: from the words of Kubernetes' scheduler."""

from __future__ import annotations

import re
from collections.abc import Sequence

from trainwright.submission.kubernetes.explain.refused import Told
from trainwright.submission.kubernetes.explain.scene import role_of, who
from trainwright.submission.kubernetes.resources import Json

_SUMMARY = re.compile(
    r"(?P<fit>\d+)/(?P<all>\d+) nodes are available: (?P<why>.*?)\.?(?: preemption:.*)?$"
)
_COUNTED = re.compile(r"(?P<many>\d+) (?P<what>.+)")
_TAINT = re.compile(r"(?:untolerated taints?|taint) ?(?P<taint>\{[^}]*\}|\([^)]*\))")
_CLAIM = re.compile(
    r'persistentvolumeclaim "(?P<claim>[^"]+)" (?P<what>not found|is being deleted)'
)


def no_node(pods: Sequence[Json], message: str) -> Told:
    """Why no node takes pods, and what to do.

    Args:
        pods: those that have the same trouble.
        message: of the scheduler.
    """
    match = _SUMMARY.search(" ".join(message.split()))
    if match is None:
        if "no nodes available" in message:
            return "the cluster has no nodes", "add some, or wait for its autoscaler"
        return f"{who(pods)} wait for a node: {message}", _LOOK
    claim = _claim(match["why"])
    if claim is not None:
        return claim
    reasons = [_reason(part) for part in re.split(r", (?=\d+ )", match["why"])]
    texts = ", ".join(text for text, _ in reasons)
    kinds = [kind for _, kind in reasons]
    verb = "waits" if len(pods) == 1 else "wait"
    cause = f"{who(pods)} {verb} for a node ({_wants(pods)}): of {match['all']} nodes {texts}"
    return cause, _mend(kinds, role_of(pods[0]))


_LOOK = "`kubectl describe nodes` shows what is there and in use"


def _reason(text: str) -> tuple[str, str]:
    """What is wrong with some nodes, in words; and of which kind that is."""
    match = _COUNTED.fullmatch(text)
    if match is None:
        return text, "other"
    many, what = match["many"], match["what"]
    has, do = ("has", "does") if many == "1" else ("have", "do")
    if what.startswith("Insufficient "):
        resource = what.removeprefix("Insufficient ")
        kind = "cpu" if resource == "cpu" else "memory" if resource == "memory" else "device"
        resource = "disk" if resource == "ephemeral-storage" else resource
        kind = "disk" if resource == "disk" else kind
        return f"{many} {has} too little {resource} free", kind
    if taint := _TAINT.search(what):
        return f"{many} {has} the taint {taint['taint'].strip('{}() ').rstrip(': ')}", "taint"
    if "node affinity" in what or "node selector" in what:
        if "volume" in what:
            return f"{many} {do} not reach the volume", "volume"
        return f"{many} {do} not have the labels asked for", "selector"
    if "unschedulable" in what:
        return f"{many} {has} been cordoned", "cordoned"
    if what == "Too many pods":
        return f"{many} {has} as many pods as they take", "pods"
    return f"{many}: {what.replace('node(s) ', '')}", "other"


def _claim(why: str) -> Told | None:
    if match := _CLAIM.search(why):
        what = "does not exist" if match["what"] == "not found" else match["what"]
        cause = f"the PersistentVolumeClaim {match['claim']} {what}"
        return (
            cause,
            f"make it, or change `volumes` in the profile; `kubectl get pvc {match['claim']}`",
        )
    if "unbound immediate PersistentVolumeClaims" in why or "unbound PersistentVolumeClaims" in why:
        cause = "a PersistentVolumeClaim that it mounts has no volume yet"
        return cause, "`kubectl get pvc` names it, `kubectl describe pvc NAME` says why"
    return None


def _wants(pods: Sequence[Json]) -> str:
    """What one of the pods reserves: ``1 nvidia.com/gpu, 4 cpu, 16Gi memory each``."""
    containers = (pods[0].get("spec") or {}).get("containers") or [{}]
    requests = ((containers[0].get("resources") or {}).get("requests")) or {}
    order = sorted(requests, key=lambda name: ("/" not in name, name != "cpu", name))
    shown = [
        f"{requests[name]} {name}"
        for name in order
        if name not in ("ephemeral-storage",) and str(requests[name]) != "0"
    ]
    each = " each" if len(pods) > 1 else ""
    return f"{', '.join(shown) or 'nothing in particular'}{each}"


def _mend(kinds: Sequence[str], role: str) -> str:
    part = role if role in ("head", "worker") else "head"
    rooms = {
        "device": f"wait until a GPU is free, or lower `{part}.gpu` in the profile",
        "memory": f"wait until memory is free, or lower `{part}.memory` in the profile",
        "cpu": f"wait until CPUs are free, or lower `{part}.cpu` in the profile",
        "disk": "wait until disk is free, or lower `scratch` in the profile",
        "volume": f"choose nodes that reach it by `{part}.node_selector` in the profile",
        "pods": "wait until some end",
    }
    others = {
        "taint": f"add the taint to `{part}.tolerations` in the profile, if these nodes are meant",
        "selector": f"correct `{part}.node_selector` in the profile (`kubectl get nodes "
        "--show-labels`)",
        "cordoned": "wait until `kubectl uncordon` lets pods on them again",
    }
    # A node that only lacks room has passed all else: that is the one to wait for.
    for kind, mend in rooms.items():
        if kind in kinds:
            return mend
    return "; or ".join(mend for kind, mend in others.items() if kind in kinds) or _LOOK
