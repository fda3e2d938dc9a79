"""Federations in miniature, and the checks that every aggregator must pass."""
