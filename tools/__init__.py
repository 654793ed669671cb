"""Scripts that are run by hand and are no part of the package."""
