"""Chaos: one job through many faults, and a judgement of what is left of it."""
