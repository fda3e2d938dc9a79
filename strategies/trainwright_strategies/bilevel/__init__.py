"""Constrained bilevel problems: what the methods that solve them share."""
