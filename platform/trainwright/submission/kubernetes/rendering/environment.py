"""Environment variables of the pods."""

from __future__ import annotations

from trainwright.submission.kubernetes.rendering.extras import Manifest
from trainwright.submission.profile import Profile

DEFAULTS = {
    # A node that dies is missed after a few seconds rather than half a minute.
    "RAY_health_check_initial_delay_ms": "5000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "5",
    # As on a machine of one's own, nothing is reported to Ray's makers.
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""What a profile may say otherwise."""


def variables(profile: Profile) -> list[Manifest]:
    """The single variables of head and workers."""
    plain = {**DEFAULTS, **profile.environment}
    return [
        *({"name": name, "value": _literally(value)} for name, value in sorted(plain.items())),
        *(
            {
                "name": name,
                "valueFrom": {"secretKeyRef": {"name": entry.secret, "key": entry.key}},
            }
            for name, entry in sorted(profile.secret_environment.items())
        ),
    ]


def whole_secrets(profile: Profile) -> list[Manifest]:
    """The Secrets whose entries are all variables of head and workers."""
    return [{"secretRef": {"name": name}} for name in profile.secrets]


def _literally(value: str) -> str:
    """Kubernetes puts other variables in place of ``$(NAME)``, and ``$`` in place of ``$$``."""
    return value.replace("$", "$$")
