"""Where clients train: this process, or residents on Ray."""
