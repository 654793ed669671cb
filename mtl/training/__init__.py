"""The trainer: a process of its own (`python -m mtl.training PLAN.json`), and what starts and watches it."""
