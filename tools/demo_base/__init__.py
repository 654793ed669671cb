"""Makes the tiny base model that the demo starts from."""
