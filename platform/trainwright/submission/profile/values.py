"""Kinds of values in a profile, each as narrow as Kubernetes takes it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from trainwright.job.environment import without_variables
from trainwright.job.forms import Form
from trainwright.secrets import mask

_PART = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_PART}(\.{_PART})*"
_WORD = r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
_IMAGE = r"^[^\s@:]+(:[0-9]+)?[^\s@:]*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})$"
_LARGEST = 2**31 - 1

_SIGNS = "small letters, digits and '-', a letter or digit at both ends"

Label = Annotated[
    str, Field(pattern=rf"^{_PART}$", max_length=63), Form(f"{_SIGNS}, at most 63 in all")
]
Name = Annotated[
    str,
    Field(pattern=rf"^{_SUBDOMAIN}$", max_length=253),
    Form(f"{_SIGNS}, in parts with points between"),
]
ShortName = Annotated[
    str,
    Field(pattern=rf"^{_SUBDOMAIN}$", max_length=63),
    Form(f"{_SIGNS}, in parts with points between, at most 63 in all"),
]
"""A name that also has to be the value of a label."""

LabelKey = Annotated[
    str,
    Field(pattern=rf"^({_SUBDOMAIN}/)?{_WORD}$", max_length=253),
    Form("the key of a label such as node.kubernetes.io/instance-type"),
]
LabelValue = Annotated[
    str,
    Field(pattern=rf"^({_WORD})?$", max_length=63),
    Form("letters, digits, '-', '_' and '.', at most 63 in all"),
]
Resource = Annotated[
    str,
    Field(pattern=rf"^{_SUBDOMAIN}/{_WORD}$", max_length=253),
    Form("a resource such as nvidia.com/gpu"),
]
EntryKey = Annotated[
    str,
    Field(pattern=r"^[-._a-zA-Z0-9]+$", max_length=253),
    Form("letters, digits, '-', '_' and '.'"),
]
Variable = Annotated[
    str,
    Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"),
    Form("letters, digits and '_', no digit first"),
]
Image = Annotated[
    str,
    Field(pattern=_IMAGE),
    Form("an image with its tag or digest, such as registry.example/team/image:1.2"),
]
MountPath = Annotated[
    str,
    Field(pattern=r"^(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+$"),
    Form("an absolute path such as /data"),
]
Version = Annotated[
    str, Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$"), Form("a version such as 2.60.0")
]
Quantity = Annotated[
    str,
    Field(pattern=r"^[1-9][0-9]{0,14}(\.[0-9]{1,3})?(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)$"),
    Form("a size such as 512Mi, 16Gi or 1.5Ti"),
]
Cpus = Annotated[float, Field(gt=0, le=10_000)]
Count = Annotated[int, Field(ge=0, le=_LARGEST)]
Seconds = Annotated[int, Field(gt=0, le=_LARGEST)]


def _public(text: str) -> str:
    plain = without_variables(text)
    if mask(plain) != plain:
        mend = "put it into a Secret, and name that under secrets or secret_environment"
        raise ValueError(f"holds a secret: {mend}")
    return text


PublicText = Annotated[str, AfterValidator(_public)]
"""What anybody may read who may see the pods."""
