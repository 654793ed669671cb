"""A small made-up world that yields articles and reading passages in the schemas of the Hub data sets."""
