"""Compressed models: levels of layers, and the search for them, which methods share."""
