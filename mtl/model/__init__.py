"""The frozen base, its tokenizer, and the adapter trained on it."""
