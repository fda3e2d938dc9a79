"""Job files spoilt at random in their keys and values; the same seed spoils alike."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import yaml
from job_texts_spoilt import SIGNS

Rng = random.Random
Path = tuple[Any, ...]

ODD: list[Any] = [
    *(None, True, False, "", " ", "null", "nan", "x" * 3000, "\x00", "é\u0301\U0001f600", "a\nb"),
    *(0, 1, -1, 2**31, 2**63, -(2**63) - 1, 10**30, 10**400, 0.0, -0.0, 0.5, 1e-320, 1e308, -2.5),
    *(float("nan"), float("inf"), float("-inf")),
    *([], {}, [[]], [{}], {"name": None}, {"name": []}, {"": ""}, {"options": {}}, [None] * 50),
    *("digits", "mlp", "cross_entropy", "adamw", "1 epoch", "0 steps", "1e9 epochs", "-1 steps"),
    *("validation/loss", "no_such_plugin", "os:system", "builtins:exec", "nowhere.py:Plugin"),
    *("../../../etc/passwd", "/dev/zero", "/", ".", "~", "data.csv", "*.parquet", "[", "s3://"),
    *("memory://x", "ftp:///x", "http:", "::", "a::b", "file:///nowhere", "${HOME}", "${NOTHING}"),
    *({"name": "digits"}, {"name": "mlp", "hidden": [-1]}, {"fraction": 2}, {"source": "digits"}),
]


def spoilt_values(rng: Rng, text: str, others: Sequence[str]) -> str:
    """A job file whose keys and values were changed in one to four places, still YAML.

    Args:
        rng: decides.
        text: the job.
        others: texts of further jobs, from which parts are taken.
    """
    values = yaml.safe_load(text)
    donor = yaml.safe_load(rng.choice(others))
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        values = rng.choice(_VALUES)(rng, values, donor)
        if not isinstance(values, dict) or not values:
            break
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=rng.random() < 0.5)


def odd_override(rng: Rng, text: str) -> str:
    """A value for ``-s``: a place of the job, or none, with what does not belong there."""
    places = paths(yaml.safe_load(text))
    path = ".".join(map(str, rng.choice(places)))
    value = rng.choice([*map(repr, ODD), *map(str, ODD), "[1, 2", "{a: ", "{a: {b: 1}}", *SIGNS])
    forms = (path, f"{path}.x", f"{path}.0", f"{path}.-1", f".{path}", f"{path}.", path.upper(), "")
    return rng.choice(("{}={}", "{}={}", "{}={}", "{}{}", "{} = {}")).format(
        rng.choice((path, path, *forms)), value
    )


def paths(value: Any, path: Path = ()) -> list[Path]:
    """The place of every key and entry, outer ones first."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    found: list[Path] = []
    for key, item in items:
        found += [(*path, key), *paths(item, (*path, key))]
    return found


def _at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value


def _with(value: Any, path: Path, new: Any) -> Any:
    """A copy with another value at a place."""
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = _with(value[path[0]], path[1:], new)
    return copy


def _without(value: Any, path: Path) -> Any:
    section = _at(value, path[:-1]).copy()
    del section[path[-1]]
    return _with(value, path[:-1], section)


def _drop(rng: Rng, value: Any, donor: Any) -> Any:
    return _without(value, rng.choice(paths(value)))


def _rename(rng: Rng, value: Any, donor: Any) -> Any:
    path = rng.choice(paths(value))
    if not isinstance(path[-1], str):
        return value
    key, keys = path[-1], [p[-1] for p in paths(donor) if isinstance(p[-1], str)]
    new = rng.choice((key + "s", key[:-1], key.upper(), "", rng.choice(keys), rng.choice(SIGNS), 7))
    section = _at(value, path[:-1])
    renamed = {new if k == key else k: item for k, item in section.items()}
    return _with(value, path[:-1], renamed)


def _odd(rng: Rng, value: Any, donor: Any) -> Any:
    return _with(value, rng.choice(paths(value)), rng.choice(ODD))


def _wrapped(rng: Rng, value: Any, donor: Any) -> Any:
    path = rng.choice(paths(value))
    old = _at(value, path)
    new = rng.choice(([old], {"name": old}, {"value": old}, str(old), [old, old], {"options": old}))
    return _with(value, path, new)


def _scaled(rng: Rng, value: Any, donor: Any) -> Any:
    numbers = [p for p in paths(value) if _is_number(_at(value, p))]
    if not numbers:
        return value
    path = rng.choice(numbers)
    old = _at(value, path)
    return _with(value, path, rng.choice((-old, old * 10**12, old + 0.5, str(old), float(old), 0)))


def _is_number(value: Any) -> bool:
    """One that can be calculated with; ``ODD`` has a whole number too large for that."""
    return type(value) in (int, float) and abs(value) < 1e300


def _from_elsewhere(rng: Rng, value: Any, donor: Any) -> Any:
    """A part of another job, or of this one, where it does not belong."""
    giver = rng.choice((value, donor))
    return _with(value, rng.choice(paths(value)), _at(giver, rng.choice(paths(giver))))


def _added(rng: Rng, value: Any, donor: Any) -> Any:
    sections = [(), *(p for p in paths(value) if isinstance(_at(value, p), dict))]
    path = rng.choice(sections)
    source = rng.choice(paths(donor))
    key = source[-1] if isinstance(source[-1], str) else "name"
    return _with(value, path, {**_at(value, path), key: rng.choice((_at(donor, source), *ODD))})


def _section_of_another(rng: Rng, value: Any, donor: Any) -> Any:
    key = rng.choice(list(donor))
    return {**value, key: donor[key]}


def _extending(rng: Rng, value: Any, donor: Any) -> Any:
    names = (
        "job.yaml",
        "./job.yaml",
        "quickstart.yaml",
        "z_loss.yaml",
        "nowhere.yaml",
        "/dev/zero",
    )
    path = rng.choice(((), ("base",))) if isinstance(value.get("base"), dict) else ()
    return _with(value, path, {**_at(value, path), "extends": rng.choice((*names, *ODD))})


_VALUES: tuple[Callable[[Rng, Any, Any], Any], ...] = (
    *(_drop, _rename, _odd, _odd, _odd, _wrapped, _scaled, _scaled, _from_elsewhere, _added),
    *(_section_of_another, _extending),
)
