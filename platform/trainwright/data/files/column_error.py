"""The error of one column of a file source, before its rows are traced back to a file."""

from __future__ import annotations

from typing import Any

from trainwright.errors import MISSING


class ColumnError(Exception):
    """The values of a file column cannot be used as declared.

    Attributes:
        message: what is wrong, without file, column and row.
        row: the first offending row, counted from 0 over all files; None when it is the whole
            column.
        source: the file column; filled in by who knows it.
        details: further fields of a :class:`trainwright.errors.Problem`.
    """

    def __init__(
        self, message: str, row: int | None = None, source: str | None = None, **details: Any
    ) -> None:
        super().__init__(message)
        self.message = message
        self.row = row
        self.source = source
        self.details = details

    def later(self, rows: int) -> ColumnError:
        """The same error with its row counted from ``rows`` rows before."""
        row = None if self.row is None else self.row + rows
        return ColumnError(self.message, row, self.source, **self.details)

    @property
    def got(self) -> Any:
        """The offending value, if there is one to show."""
        return self.details.get("got", MISSING)
