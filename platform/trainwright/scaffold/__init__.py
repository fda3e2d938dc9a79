"""A working start for a new plugin: its file, its test, its comparison."""

from trainwright.scaffold.writing import KINDS, Started, start

__all__ = ["KINDS", "Started", "start"]
