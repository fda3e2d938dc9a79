"""The accuracies that architectures have when they are trained alone, read from a table."""

from __future__ import annotations

import math
import re
from pathlib import PurePath
from typing import Any

from trainwright.suggest import one_of
from trainwright_strategies.supernets.space import Path, PathSpace


def parse_path(text: Any, space: PathSpace) -> Path:
    """A path as tables have it: ``1-0-3``, ``[1, 0, 3]``, a list, or names with ``|`` between.

    Raises:
        ValueError: it is no path of the space.
    """
    if not isinstance(text, (str, int)):
        return space.check([int(index) for index in text])
    words = str(text).split("|")
    if all(word in space.operations for word in words):
        return space.check([space.operations.index(word) for word in words])
    if not re.fullmatch(r"[\s\d,;|\[\]()-]+", str(text)):
        raise ValueError(f"{text!r} is no path: write 1-0-3, or names as {space.operations[0]}|...")
    return space.check([int(index) for index in re.findall(r"\d+", str(text))])


def read_truth(url: str, space: PathSpace, column: str) -> dict[Path, float]:
    """Path -> what it is worth, from a table with a column ``path``.

    Args:
        url: of a CSV or parquet file.
        space: of the paths.
        column: what they are worth.

    Raises:
        ValueError: there is no such file or column, a path is not in the space or there twice, a
            value is no finite number, or there are fewer than two.
    """
    columns = _columns(url)
    if missing := [name for name in ("path", column) if name not in columns]:
        raise ValueError(
            f"{url} has no column {missing[0]!r}; it has {one_of([repr(c) for c in columns])}"
        )
    found: dict[Path, float] = {}
    for number, (text, value) in enumerate(zip(columns["path"], columns[column], strict=True), 1):
        try:
            path = parse_path(text, space)
        except ValueError as error:
            raise ValueError(f"{url}, row {number}: {error}") from error
        if path in found or not isinstance(value, (int, float)) or not math.isfinite(value):
            what = "the path is there twice" if path in found else f"{value!r} is no number"
            raise ValueError(f"{url}, row {number}: {what}")
        found[path] = float(value)
    if len(found) < 2:
        raise ValueError(f"{url} has {len(found)} paths, and a ranking needs two")
    return found


def _columns(url: str) -> dict[str, list[Any]]:
    import fsspec
    from pyarrow import ArrowException, csv, parquet

    try:
        with fsspec.open(url, "rb") as file:
            if PurePath(url).suffix == ".parquet":
                table = parquet.read_table(file)
            else:
                table = csv.read_csv(file)
    except (OSError, ArrowException) as error:
        raise ValueError(f"{url} cannot be read: {error}") from error
    columns: dict[str, list[Any]] = table.to_pydict()
    return columns
