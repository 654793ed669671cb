"""Multitask LoRA retraining for FLAN-T5: the library behind the `mtl` command and the Prefect flows."""
