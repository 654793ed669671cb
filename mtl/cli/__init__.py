"""The `mtl` command."""
