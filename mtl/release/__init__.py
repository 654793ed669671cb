"""Releases: what consumers get. Files and manifest of each version, and the journal that says who is champion.

Nothing here knows MLflow: a release is pulled, verified, promoted and rolled back with the object store alone, and
MLflow's aliases follow the journal.
"""
