"""Text files as sequences of bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from trainwright.data.table import IGNORED, Column, Table
from trainwright.errors import DataError, Problem
from trainwright.plugins.markers import JobPath

VOCABULARY = 257
SEPARATOR = 256


def text(
    files: Annotated[str | list[str], JobPath()],
    length: Annotated[int, Field(gt=0)] = 128,
) -> Table:
    """Any text files as byte sequences of equal length, packed one after the other.

    Columns ``tokens`` and ``target``, both (length,): each target is the token that follows, so
    that every byte is predicted once. Tokens are the bytes 0 to 255, whatever the encoding, and
    256 after the end of each file: a vocabulary of 257. The last sequence is filled up with 256,
    which is no target (-100).

    Args:
        files: path, folder (with all its files), glob or fsspec URL, or a list of them; relative
            paths start at the job's folder. The files of one entry follow each other by name.
        length: tokens of a sequence.

    Raises:
        DataError: there is no such file, or all of them are empty.
    """
    entries = [files] if isinstance(files, str) else files
    documents = [content for entry in entries for content in _contents(entry)]
    if not any(documents):
        raise DataError(Problem(path="files", message="holds no text: all files are empty"))
    tokens, target = pack(documents, length)
    columns = {
        name: Column("tokens", (length,), torch.int64, VOCABULARY) for name in ("tokens", "target")
    }
    return Table(columns, {"tokens": torch.from_numpy(tokens), "target": torch.from_numpy(target)})


def pack(
    documents: Sequence[bytes], length: int
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]]:
    """Lay documents end to end, a separator after each, and cut the result into sequences.

    Args:
        documents: at least one that is not empty; empty ones are left out.
        length: tokens of a sequence.

    Returns:
        Tokens and the tokens that follow them, int16 of shape (sequences, length) each. Sequences
        start ``length`` apart; the places after the last separator hold the separator, and
        ``IGNORED`` as what follows.
    """
    parts: list[npt.NDArray[Any]] = []
    for document in filter(None, documents):
        parts += [np.frombuffer(document, dtype=np.uint8), np.array([SEPARATOR])]
    stream = np.concatenate(parts).astype(np.int16)
    rows = -(-(len(stream) - 1) // length)
    tokens = np.full(rows * length, SEPARATOR, dtype=np.int16)
    target = np.full(rows * length, IGNORED, dtype=np.int16)
    tokens[: len(stream) - 1] = stream[:-1]
    target[: len(stream) - 1] = stream[1:]
    return tokens.reshape(rows, length), target.reshape(rows, length)


def _contents(entry: str) -> list[bytes]:
    from trainwright.data.files.location import find_files

    found = find_files(entry, "text", Path(), "files")
    return [file.fs.cat_file(file.path) for file in found]
