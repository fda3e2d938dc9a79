"""Transforms of updates: what clients of a federation send instead of 32 bits for each weight."""
