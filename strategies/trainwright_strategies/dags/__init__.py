"""Directed acyclic graphs of linear models: what methods that learn them share."""
