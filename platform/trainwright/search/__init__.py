"""Jobs of kind ``sweep``: trials of one job over a space of its values."""
