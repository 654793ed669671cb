"""Checkpoints: run identity, the commit log of a run, retention, verification and pruning."""
