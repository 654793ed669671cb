"""Talking to the running service from outside: Prefect over HTTP, status, notifications, the webhook receiver."""
