"""Jobs of kind ``compare``: variants of one job over several seeds, held against expectations."""
