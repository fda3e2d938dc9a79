"""Checkpoints: sharded safetensors by parameter name that any ZeRO stage and world size can load.

A checkpoint is the folder ``checkpoints/step-00000200-a1`` (step 200, written by attempt 1) of a
run. Each rank writes its share as one safetensors file and a sidecar that says it is done; rank 0
writes ``manifest.json`` last. A folder without an intact manifest never counts.
"""

from __future__ import annotations

from trainwright.checkpoint.export import export_state, export_weights
from trainwright.checkpoint.pieces import Piece
from trainwright.checkpoint.reader import Checkpoint
from trainwright.checkpoint.state import pack_state, unpack_state
from trainwright.checkpoint.store import CheckpointStore
from trainwright.checkpoint.writer import CheckpointWriter

__all__ = [
    "Checkpoint",
    "CheckpointStore",
    "CheckpointWriter",
    "Piece",
    "export_state",
    "export_weights",
    "pack_state",
    "unpack_state",
]
