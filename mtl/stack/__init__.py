"""The whole service on one machine, without Docker: PostgreSQL, S3, MLflow, Prefect and a worker, on loopback only.

It starts processes and asks them over the network; it imports neither Prefect nor MLflow.
"""
