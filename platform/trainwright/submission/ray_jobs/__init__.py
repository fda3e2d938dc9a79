"""Jobs on a Ray cluster that runs already, over its Jobs API."""
