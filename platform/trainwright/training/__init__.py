"""Training: from a job to objects, the loop over them, evaluation, and what a checkpoint holds."""
