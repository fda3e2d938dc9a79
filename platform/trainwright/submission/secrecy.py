"""What is secret must not travel in plain text: it is looked for in all that is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from trainwright.errors import Location, Problem
from trainwright.job.environment import without_variables
from trainwright.job.yaml_reader import Parsed
from trainwright.secrets import mask, secret_variables_in
from trainwright.submission.texts import texts_in

_MESSAGE = "holds a secret, which others could read on the cluster"


def told_values(parsed: Parsed) -> list[Problem]:
    """The values and keys of a job, before variables are replaced, that hold a secret."""
    texts = texts_in(parsed.values)
    told = {path: _problem(path, text) for path, text in texts if _is_telling(text)}
    for path in sorted(parsed.locations):
        if _is_telling(path) and not _is_telling(path.rpartition(".")[0]):
            told[path] = _problem(path, path)
    return list(told.values())


def told_lines(text: str, file: str) -> list[Problem]:
    """The lines of a job file, comments too, that hold a secret."""
    return [
        Problem("", f"the line {_MESSAGE}", location=Location(file, number), mend=_mend(line))
        for number, line in enumerate(text.splitlines(), 1)
        if _is_telling(line)
    ]


def told_overrides(overrides: Iterable[str]) -> list[Problem]:
    """The overrides that hold a secret, in a comment too."""
    return [_problem("-s", text) for text in overrides if _is_telling(text)]


def told_files(files: Mapping[str, bytes]) -> list[Problem]:
    """The plugin files that hold the value of a secret environment variable."""
    problems = []
    for name, content in files.items():
        variables = secret_variables_in(f"{name}\n{content.decode(errors='replace')}")
        if variables:
            message = f"the plugin file {name} holds the value of {', '.join(variables)}"
            mend = f"let it read os.environ[{variables[0]!r}], and put the value into a secret of "
            problems.append(Problem("", message, mend=f"{mend}the cluster"))
    return problems


def _problem(path: str, text: str) -> Problem:
    return Problem(path, _MESSAGE, text, mend=_mend(text))


def _is_telling(text: str) -> bool:
    plain = without_variables(text)
    return mask(plain) != plain


def _mend(text: str) -> str:
    name = next(iter(secret_variables_in(text)), "NAME")
    return f"write ${{{name}}} there, and put the value into a secret of the cluster"
