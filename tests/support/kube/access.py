"""Who may do what: rules that requests obey, and that access reviews tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kube import errors
from kube.requests import Request
from kube.resources import Resource

Json = dict[str, Any]


@dataclass(frozen=True)
class Action:
    """Something that a user wants to do.

    Attributes:
        verb: ``create``, ``list``, ...
        group: API group.
        resource: plural, with a subresource: ``pods/log``.
        namespace: empty for the cluster, and for all namespaces at once.
        name: of an object, empty for any.
    """

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""


@dataclass(frozen=True)
class Rule:
    """What is allowed or not: ``*`` stands for any, None for wherever it is."""

    allows: bool
    verb: str
    resource: str
    namespace: str | None = None

    def matches(self, action: Action) -> bool:
        """Whether the rule is about an action."""
        qualified = f"{action.resource}.{action.group}" if action.group else action.resource
        return (
            self.verb in ("*", action.verb)
            and self.resource in ("*", action.resource, qualified)
            and self.namespace in (None, action.namespace)
        )


class Access:
    """Everything is allowed but what rules forbid; the last rule about an action decides.

    Args:
        user: name of whoever asks.
    """

    def __init__(self, user: str) -> None:
        self.user = user
        self._rules: list[Rule] = []

    def add(self, rule: Rule) -> None:
        """Another rule."""
        self._rules.append(rule)

    def allows(self, action: Action) -> bool:
        """Whether the user may do it."""
        about = [rule for rule in self._rules if rule.matches(action)]
        return about[-1].allows if about else True

    def check(self, resource: Resource | None, request: Request) -> None:
        """Refuse a request that is not allowed; reviews of oneself always are.

        Raises:
            ApiError: 403.
        """
        if request.plural.startswith("selfsubject"):
            return
        action = Action(
            request.verb, request.group, request.resource, request.namespace, request.name
        )
        if self.allows(action):
            return
        where = (
            f'in the namespace "{action.namespace}"' if action.namespace else "at the cluster scope"
        )
        why = (
            f'User "{self.user}" cannot {action.verb} resource "{action.resource}" in API group '
            f'"{action.group}" {where}'
        )
        # Whoever may not ask does not learn whether the resource is there.
        known = resource or Resource(request.group, (request.version,), request.plural, "")
        raise errors.forbidden(known, action.name, why)

    def review(self, body: Json) -> Json:
        """The answer to a SelfSubjectAccessReview."""
        wanted = body["spec"].get("resourceAttributes")
        allowed = True
        if wanted:
            parts = (wanted.get("resource", ""), wanted.get("subresource", ""))
            action = Action(
                wanted.get("verb", ""),
                wanted.get("group", ""),
                "/".join(filter(None, parts)),
                wanted.get("namespace", ""),
                wanted.get("name", ""),
            )
            allowed = self.allows(action)
        by = 'RBAC: allowed by ClusterRoleBinding "testers" of ClusterRole "testers" to User '
        reason = f'{by}"{self.user}"' if allowed else ""
        return {**body, "status": {"allowed": allowed, "reason": reason}}

    def whoami(self, body: Json) -> Json:
        """The answer to a SelfSubjectReview."""
        groups = ["system:authenticated"]
        return {**body, "status": {"userInfo": {"username": self.user, "groups": groups}}}
