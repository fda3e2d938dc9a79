"""A run that goes on reads its checkpoint once."""

from __future__ import annotations

from typing import Any

import pytest

from trainwright.checkpoint import CheckpointStore
from trainwright.errors import CheckpointError
from trainwright.storage import Folder
from trainwright.training.resuming import starting_point

SHARD = "rank-00001-of-00002.safetensors"


def test_what_the_search_has_read_is_not_read_again(folder: Folder, save_all: Any) -> None:
    save_all(folder, 2, info={"lineage": []})
    found = CheckpointStore(folder).latest()
    start = starting_point(folder, 0, None)
    assert found is not None
    assert start.checkpoint is not None
    found.folder.remove(SHARD)
    for checkpoint in (found, start.checkpoint):
        assert checkpoint.full("param", "model.fc.weight").eq(2.0).all()
        checkpoint.release()
        with pytest.raises(CheckpointError, match=f"{SHARD} is missing"):
            checkpoint.full("param", "model.fc.weight")
