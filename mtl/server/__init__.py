"""The HTTP server of `mtl serve`: it follows the champion, answers in batches, and keeps what its users say."""
