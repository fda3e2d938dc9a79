"""Trials on Ray Tune: what its actors do, and how its driver learns what to do next."""
