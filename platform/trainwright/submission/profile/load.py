"""Finding and reading profiles: beside the work, or of the user."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from trainwright.errors import InputError, JobError, Problem
from trainwright.job.document import Document
from trainwright.job.merging import read_with_extends
from trainwright.job.overrides import apply_overrides
from trainwright.job.problems import problems_of
from trainwright.job.yaml_reader import read_file
from trainwright.submission.profile.spec import Profile
from trainwright.suggest import nearest, one_of

DEFAULT = "default"
"""The profile that is taken where none is named."""

PROFILE = "TRAINWRIGHT_PROFILE"
"""Environment variable with the profile that is taken instead."""


def find_profile(named: str | None = None, overrides: Iterable[str] = ()) -> Profile:
    """The profile of that name, or in that file.

    Args:
        named: a name, looked for in ``k8s/profiles`` below the working directory and then in
            ``trainwright/profiles`` of the user's configuration folder; or a path. Left out: what
            ``TRAINWRIGHT_PROFILE`` says, or ``default``.
        overrides: values to change in it, ``a.b=value`` each.

    Raises:
        InputError: there is none, or it is wrong; every problem with its file and line.
    """
    asked = named or os.environ.get(PROFILE)
    path = "--profile" if named or not asked else PROFILE
    return read_profile(_file_of(asked, path), overrides)


def read_profile(file: Path, overrides: Iterable[str] = ()) -> Profile:
    """The profile in a file; it may extend another one.

    Raises:
        InputError: it is wrong; every problem with its file and line.
    """
    written = read_with_extends(read_file(file), str(file))
    parsed = apply_overrides(written, overrides, "--set-profile")
    document = Document(parsed.values, parsed.locations, str(file), "")
    try:
        return Profile.model_validate(parsed.values, strict=True)
    except ValidationError as error:
        problems = problems_of(error, parsed.values, Profile)
        raise JobError(document.sorted(problems)) from error


def profiles_here() -> dict[str, Path]:
    """Every profile that can be named: name -> file."""
    found: dict[str, Path] = {}
    for folder in _folders():
        for file in sorted(folder.glob("*.yaml")):
            found.setdefault(file.stem, file)
    return found


def _file_of(asked: str | None, path: str) -> Path:
    """The file of a profile.

    Args:
        asked: its name or path; None for the default one.
        path: where the user says so.
    """
    name = asked or DEFAULT
    if "/" in name or name.endswith((".yaml", ".yml")):
        file = Path(os.path.expanduser(name))
        if file.is_file():
            return file
        raise InputError(Problem(path, "there is no such file", name))
    found = profiles_here()
    if name in found:
        return found[name]
    places = " or ".join(str(folder) for folder in _folders())
    mend = f"write a file NAME.yaml in {places}; it needs an image at least"
    if asked is None:
        message = f"none is named, and there is none called {DEFAULT}"
        raise InputError(Problem(path, message, allowed=one_of(found) or None, mend=mend))
    message, close = "there is no such profile", nearest(name, found)
    raise InputError(Problem(path, message, name, one_of(found) or None, close, mend))


def _folders() -> list[Path]:
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return [Path("k8s/profiles"), Path(config) / "trainwright" / "profiles"]
