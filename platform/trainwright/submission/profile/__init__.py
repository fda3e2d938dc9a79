"""Profiles: how a cluster of Kubernetes runs jobs, apart from the jobs themselves."""

from __future__ import annotations

from trainwright.submission.profile.load import find_profile, profiles_here
from trainwright.submission.profile.spec import Head, Profile, SecretKey, Toleration, Volume, Worker

__all__ = [
    "Head",
    "Profile",
    "SecretKey",
    "Toleration",
    "Volume",
    "Worker",
    "find_profile",
    "profiles_here",
]
