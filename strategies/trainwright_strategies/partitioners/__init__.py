"""Which samples belong to which client of a federation."""
