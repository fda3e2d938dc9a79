"""Modules that strategies put in place of a model's own."""
