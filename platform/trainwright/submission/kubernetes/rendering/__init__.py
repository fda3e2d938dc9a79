"""From a parcel and a profile to what is sent to Kubernetes: pure functions."""

from __future__ import annotations

from trainwright.submission.kubernetes.rendering.extras import Manifest
from trainwright.submission.kubernetes.rendering.render import render
from trainwright.submission.kubernetes.rendering.text import text_of

__all__ = ["Manifest", "render", "text_of"]
