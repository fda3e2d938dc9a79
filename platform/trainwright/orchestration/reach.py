"""How workers reach the stores that the driver reaches: keys and addresses from its environment.

A cluster that was running before keeps the environment of its own start, and other machines have
their own. Variables whose values mean the same on every machine therefore travel with the work
order; what names files, profiles or roles of one machine does not.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

_BEGINNINGS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_",
    "FSSPEC_",
)
_OF_ONE_MACHINE = ("_DIR", "_FILE")


def store_environment() -> dict[str, str]:
    """This process's variables that say how object stores are reached."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(_BEGINNINGS) and not name.endswith(_OF_ONE_MACHINE)
    }


def adopt(environment: Mapping[str, str]) -> None:
    """Take over the driver's ``store_environment``; it wins over what this machine has."""
    if "AWS_ACCESS_KEY_ID" in environment:
        # A token belongs to one pair of keys.
        os.environ.pop("AWS_SESSION_TOKEN", None)
    os.environ.update(environment)
    if any(name.startswith("FSSPEC_") for name in environment):
        from fsspec import config

        config.set_conf_env(config.conf)
