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
    name = named or os.environ.get(PROFILE) or DEFAULT
    return read_profile(_file_of(name), overrides)


def read_profile(file: Path, overrides: Iterable[str] = ()) -> Profile:
    """The profile in a file; it may extend another one.

    Raises:
        InputError: it is wrong; every problem with its file and line.
    """
    parsed = apply_overrides(read_with_extends(read_file(file), str(file)), overrides)
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


def _file_of(name: str) -> Path:
    if "/" in name or name.endswith((".yaml", ".yml")):
        file = Path(name).expanduser()
        if file.is_file():
            return file
        raise InputError(Problem("--profile", "there is no such file", name))
    found = profiles_here()
    if name in found:
        return found[name]
    places = one_of(str(folder) for folder in _folders())
    raise InputError(
        Problem(
            "--profile",
            "there is no such profile",
            name,
            allowed=one_of(found) if found else f"a file NAME.yaml in {places}",
            nearest=nearest(name, found),
            mend="give a name or a file, or write one; it needs an image at least",
        )
    )


def _folders() -> list[Path]:
    config = os.environ.get("XDG_CONFIG_HOME")
    user = Path(config) if config else Path("~/.config").expanduser()
    return [Path("k8s/profiles"), user / "trainwright" / "profiles"]
