"""Annotations of the RayJob that runs a submission, by which others see how far it is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from trainwright.secrets import mask

_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 10.0, 300.0
_TIMEOUT_S = (5.0, 10.0)
"""To connect, and to be answered."""

_HOPELESS = {
    403: "the pod's service account may not patch RayJobs, which k8s/base allows",
    404: "there is no such RayJob",
}


class Annotations:
    """Keeps annotations of a RayJob up to date, as far as the API server lets it.

    Args:
        rayjob: ``NAMESPACE/NAME``.
        remark: told, once, why it does not work.
        clock: seconds.
    """

    def __init__(
        self,
        rayjob: str,
        remark: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._namespace, _, self._name = rayjob.partition("/")
        self._tell = remark
        self._clock = clock
        self._written: dict[str, str] = {}
        self._api: Any = None
        self._is_hopeless = False
        self._has_told = False
        self._pause_s = 0.0
        self._next = clock()

    def put(self, values: Mapping[str, str], at_once: bool = False) -> None:
        """Write what is not written yet; never raises.

        Args:
            values: annotation -> text.
            at_once: also when the server has refused a moment ago.
        """
        new = {name: text for name, text in values.items() if self._written.get(name) != text}
        if not new or self._is_hopeless or (self._clock() < self._next and not at_once):
            return
        try:
            self._patch(new)
        except Exception as error:  # whatever the client raises; the job goes on
            self._note(error)
            return
        self._written |= new
        self._pause_s = 0.0

    def _patch(self, annotations: Mapping[str, str]) -> None:
        if self._api is None:
            self._api = _connect()
        self._api.patch_namespaced_custom_object(
            group="ray.io",
            version="v1",
            plural="rayjobs",
            namespace=self._namespace,
            name=self._name,
            body={"metadata": {"annotations": dict(annotations)}},
            _content_type="application/merge-patch+json",
            _request_timeout=_TIMEOUT_S,
        )

    def _note(self, error: Exception) -> None:
        from kubernetes.config import ConfigException

        self._api = None  # the next one reads the token anew
        status = getattr(error, "status", None)
        self._is_hopeless = status in _HOPELESS or isinstance(error, ConfigException)
        self._pause_s = min(max(2 * self._pause_s, _SHORTEST_PAUSE_S), _LONGEST_PAUSE_S)
        self._next = self._clock() + self._pause_s
        if self._has_told:
            return
        self._has_told = True
        why = _HOPELESS.get(status or 0) or getattr(error, "reason", None) or str(error)
        place = f"RayJob {self._namespace}/{self._name}"
        more = "" if self._is_hopeless else "; tried again now and then"
        self._tell(mask(f"progress is not written to {place}: {why}{more}"))


def _connect() -> Any:
    """A client with the rights of the pod, whose token it reads anew when that changes.

    Ray's own machines outside of pods may name a kubeconfig instead.
    """
    from kubernetes import client, config

    settings = client.Configuration()
    if os.environ.get("KUBECONFIG"):
        config.load_kube_config(client_configuration=settings)
    else:
        config.load_incluster_config(client_configuration=settings)
    settings.retries = False
    return client.CustomObjectsApi(client.ApiClient(settings))
