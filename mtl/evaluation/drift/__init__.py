"""Drift: whether new texts still look like those that the champion was trained on. Pure functions."""
