"""MLflow's model registry: versions, their tags, their aliases."""
