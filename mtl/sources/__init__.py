"""Where examples come from: the Hub data sets and the demo corpus."""
