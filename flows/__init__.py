"""Prefect flows: steps, retry rules, and the parent flow. No torch and no mlflow here."""
