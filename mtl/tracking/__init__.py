"""Runs with parameters, metrics and artifacts: the interface of a tracker, and what waits while it is away."""
