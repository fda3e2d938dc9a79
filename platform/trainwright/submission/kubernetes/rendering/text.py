"""Manifests as text that people read and ``kubectl`` takes."""

from __future__ import annotations

from collections.abc import Iterable

from trainwright.submission.kubernetes.rendering.extras import Manifest
from trainwright.submission.readable import yaml_of


def text_of(manifests: Iterable[Manifest]) -> str:
    """Manifests as YAML documents, in their own order; files in them as they were written."""
    return "---\n".join(map(yaml_of, manifests))
