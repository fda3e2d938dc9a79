"""Why a submission does not run, in one line, from what the cluster knows of it."""
