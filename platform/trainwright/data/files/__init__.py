"""Data from files: parquet, arrow and csv under any fsspec URL."""

from __future__ import annotations

from trainwright.data.files.declarations import check_columns
from trainwright.data.files.fingerprint import fingerprint_files
from trainwright.data.files.loading import load_table
from trainwright.data.files.location import DataFile, find_files, is_file_source

__all__ = [
    "DataFile",
    "check_columns",
    "find_files",
    "fingerprint_files",
    "is_file_source",
    "load_table",
]
