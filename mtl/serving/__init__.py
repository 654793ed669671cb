"""Using a trained model: text in, summary or questions out; in this process or as an MLflow pyfunc."""
