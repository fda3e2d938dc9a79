"""Choosing the columns that a transform works on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trainwright.data.facts import target_column
from trainwright.data.table import Column, Kind
from trainwright.suggest import nearest, one_of


class ColumnTransform:
    """Base of the transforms that do the same to each of several columns.

    Attributes:
        kinds: the kinds of columns it works on.
        names: the chosen columns, known after :meth:`bind`.
    """

    kinds: tuple[Kind, ...] = ("image", "vector")

    def __init__(self, columns: str | Sequence[str] | None) -> None:
        """Choose ``columns``; None takes every image and vector among ``kinds`` but the target."""
        self._chosen = [columns] if isinstance(columns, str) else columns
        self.names: list[str] = []

    def bind(self, columns: Mapping[str, Column]) -> None:
        """Look up the chosen columns.

        Raises:
            ValueError: a column does not exist, is of a kind that cannot be used, or none fits.
        """
        if self._chosen is None:
            target = target_column(columns)
            default = [kind for kind in self.kinds if kind in ("image", "vector")]
            self.names = [n for n, c in columns.items() if c.kind in default and n != target]
            if not self.names:
                raise ValueError(
                    f"there is no column of kind {one_of(default)}; "
                    f"the data has {describe(columns)}"
                )
            return
        for name in self._chosen:
            require_column(name, columns, self.kinds)
        self.names = list(dict.fromkeys(self._chosen))


def require_column(name: str, columns: Mapping[str, Column], kinds: Sequence[Kind]) -> Column:
    """The column ``name``.

    Raises:
        ValueError: it does not exist (the nearest name is given), or is of another kind.
    """
    if name not in columns:
        close = nearest(name, columns)
        hint = f"; nearest: {close}" if close else ""
        raise ValueError(f"there is no column {name!r}{hint}; the data has {describe(columns)}")
    if columns[name].kind not in kinds:
        raise ValueError(
            f"column {name!r} is of kind {columns[name].kind}; this works on {one_of(kinds)}"
        )
    return columns[name]


def describe(columns: Mapping[str, Column]) -> str:
    """The columns with kind and shape, in words."""
    return one_of(f"{name} ({column})" for name, column in columns.items() if column.kind != "id")
