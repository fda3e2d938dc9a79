"""Why a cluster does not let an object be made, and what to do: from the words of the refusal."""

from __future__ import annotations

import re
from collections.abc import Callable

Told = tuple[str, str]
"""A cause, and what to do about it."""


def refused(message: str) -> Told:
    """The cause of a refusal, and what to do.

    Args:
        message: as an API server says it, whoever asked: a user, KubeRay, or a controller.
    """
    for pattern, tell in _TELLS:
        if match := re.search(pattern, message):
            return tell(match)
    return " ".join(message.split()), "ask whoever runs the cluster"


def _quota(match: re.Match[str]) -> Told:
    numbers = dict.fromkeys(("requested", "used", "limited"), "")
    for key in numbers:
        found = re.search(rf"{key}: ([^:]*?)(?:, (?:used|limited): |$)", match["rest"])
        numbers[key] = found[1].strip() if found else ""
    parts = f"wants {numbers['requested']}, in use {numbers['used']} of {numbers['limited']}"
    cause = f"it exceeds the quota {match['quota']} of the namespace ({parts})"
    return cause, "stop what is not needed, ask for less in the profile, or for a larger quota"


def _no_numbers(match: re.Match[str]) -> Told:
    cause = f"the quota {match['quota']} asks that pods state {match['what']}"
    return cause, "ask whoever runs the cluster for defaults (a LimitRange), or for another quota"


def _security(match: re.Match[str]) -> Told:
    cause = f"the namespace admits no such pods (Pod Security {match['level']}): {match['what']}"
    return (
        cause,
        "pods of Trainwright's keep `restricted`; is the image or a volume another matter?",
    )


def _limit(match: re.Match[str]) -> Told:
    cause = f"a LimitRange of the namespace is in the way: {match['what'].strip(' []')}"
    return cause, "change cpu, memory or scratch in the profile, or ask for another LimitRange"


def _account(match: re.Match[str]) -> Told:
    cause = f"there is no service account {match['name']} in the namespace"
    return cause, "`kubectl apply -k k8s/base` makes it; or name another in the profile"


def _priority(match: re.Match[str]) -> Told:
    cause = f"there is no PriorityClass {match['name']}"
    return (
        cause,
        "`kubectl get priorityclasses` shows those there are; change `priority` in the profile",
    )


def _ending(match: re.Match[str]) -> Told:
    cause = f"the namespace {match['name']} is being deleted"
    return cause, "wait until it is gone and make it again, or take another: --namespace NAME"


def _webhook(match: re.Match[str]) -> Told:
    cause = f"the admission webhook {match['name']} denies it: {' '.join(match['what'].split())}"
    return cause, "that is a rule of this cluster's: ask whoever runs it"


def _rights(match: re.Match[str]) -> Told:
    cause = f"{match['user']} may not {match['verb']} {match['what']}"
    return (
        cause,
        "KubeRay was not given what it needs: install it again, or ask who runs the cluster",
    )


_TELLS: tuple[tuple[str, Callable[[re.Match[str]], Told]], ...] = (
    (r"exceeded quota: (?P<quota>[^,]+),(?P<rest>.*)", _quota),
    (r"failed quota: (?P<quota>[^:]+): must specify (?P<what>.+)", _no_numbers),
    (r'violates PodSecurity "(?P<level>[^":]+)[^"]*": (?P<what>.+)', _security),
    (r"(?P<what>(?:\[)?(?:maximum|minimum) \S+ (?:usage )?per (?:Pod|Container).*)", _limit),
    (r'serviceaccount "(?P<name>[^"]+)" not found', _account),
    (r"no PriorityClass with name (?P<name>\S+) was found", _priority),
    (r"in namespace (?P<name>\S+) because it is being terminated", _ending),
    (r'admission webhook "(?P<name>[^"]+)" denied the request:? ?(?P<what>.*)', _webhook),
    (
        r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) resource "(?P<what>[^"]+)"',
        _rights,
    ),
)
