"""Kinds of values in a profile, each as narrow as Kubernetes takes it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from trainwright.secrets import mask

_PART = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_PART}(\.{_PART})*"
_WORD = r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
_IMAGE = r"^[^\s@:]+(:[0-9]+)?[^\s@:]*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})$"
_LARGEST = 2**31 - 1

Label = Annotated[str, Field(pattern=rf"^{_PART}$", max_length=63)]
Name = Annotated[str, Field(pattern=rf"^{_SUBDOMAIN}$", max_length=253)]
ShortName = Annotated[str, Field(pattern=rf"^{_SUBDOMAIN}$", max_length=63)]
"""A name that also has to be the value of a label."""

LabelKey = Annotated[str, Field(pattern=rf"^({_SUBDOMAIN}/)?{_WORD}$", max_length=253)]
LabelValue = Annotated[str, Field(pattern=rf"^({_WORD})?$", max_length=63)]
Resource = Annotated[str, Field(pattern=rf"^{_SUBDOMAIN}/{_WORD}$", max_length=253)]
EntryKey = Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]+$", max_length=253)]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Image = Annotated[str, Field(pattern=_IMAGE)]
MountPath = Annotated[str, Field(pattern=r"^(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+$")]
Version = Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")]
Quantity = Annotated[
    str, Field(pattern=r"^[1-9][0-9]{0,14}(\.[0-9]{1,3})?(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)$")
]
Cpus = Annotated[float, Field(gt=0, le=10_000)]
Count = Annotated[int, Field(ge=0, le=_LARGEST)]
Seconds = Annotated[int, Field(gt=0, le=_LARGEST)]


def _public(text: str) -> str:
    if mask(text) != text:
        raise ValueError("holds a secret: put it into a Secret, and name that under secrets")
    return text


PublicText = Annotated[str, AfterValidator(_public)]
"""What anybody may read who may see the pods."""
