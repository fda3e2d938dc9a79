"""Data: typed tables in memory, their order, splits and transforms."""

from __future__ import annotations

from trainwright.data.table import SAMPLE_ID, Column, Table

__all__ = ["SAMPLE_ID", "Column", "Table"]
