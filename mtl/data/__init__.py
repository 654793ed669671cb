"""Data sets: prepared once, stored by their content, read back verified."""
