"""The driver's side of a run: checks, a Ray cluster and its workers, signals, results."""
