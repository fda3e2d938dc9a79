"""Reading objects of a cluster, some of which a user may not see."""

from __future__ import annotations

from dataclasses import dataclass

from trainwright.submission.kubernetes.api import Api
from trainwright.submission.kubernetes.errors import Refusal
from trainwright.submission.kubernetes.resources import Json, Resource


@dataclass(frozen=True)
class Page(Resource):
    """What an API server tells of itself.

    Attributes:
        place: path.
    """

    place: str = ""

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """Its path."""
        return self.place


VERSION = Page("", "", "", "the version", place="/version")
RAY_GROUP = Page("ray.io", "v1", "", "what KubeRay serves", place="/apis/ray.io/v1")
REVIEWS = Resource(
    "authorization.k8s.io",
    "v1",
    "selfsubjectaccessreviews",
    "SelfSubjectAccessReview",
    is_namespaced=False,
)
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", is_namespaced=False)
NODES = Resource("", "v1", "nodes", "Node", is_namespaced=False)
ALL_PODS = Resource("", "v1", "pods", "Pod", is_namespaced=False)
PRIORITIES = Resource(
    "scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", is_namespaced=False
)
SECRETS = Resource("", "v1", "secrets", "Secret")
CLAIMS = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota")
QUEUES = tuple(
    Resource("kueue.x-k8s.io", version, "localqueues", "LocalQueue")
    for version in ("v1beta2", "v1beta1")
)
QUEUE_PRIORITIES = tuple(
    Resource(
        "kueue.x-k8s.io",
        version,
        "workloadpriorityclasses",
        "WorkloadPriorityClass",
        is_namespaced=False,
    )
    for version in ("v1beta2", "v1beta1")
)


class Unseen(Exception):  # noqa: N818 - a user without a right, which is no error
    """The user may not read it."""


class Reader:
    """Reads objects in a namespace, and in none.

    Args:
        api: the API server.
        namespace: where.
    """

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self.namespace = namespace

    def one(self, resource: Resource, name: str = "") -> Json | None:
        """One object; None where there is none, or no such kind.

        Raises:
            Unseen: the user may not read it.
        """
        try:
            return self._api.get(resource, self.namespace, name)
        except Refusal as error:
            if error.status == 403:
                raise Unseen from error
            if error.status == 404:
                return None
            raise

    def all(self, resource: Resource, labels: str = "") -> list[Json]:
        """All objects of a kind; empty where there is no such kind.

        Raises:
            Unseen: the user may not list them.
        """
        try:
            return self._api.list(resource, self.namespace, labels).items
        except Refusal as error:
            if error.status == 403:
                raise Unseen from error
            if error.status == 404:
                return []
            raise
