"""MLflow behind the interfaces of `mtl.tracking` and `mtl.registry`, and its models and server. Only it imports MLflow.

from mtl.mlflow_backend.tracker import MlflowTracker
run = MlflowTracker("sqlite:///mlflow.db").run_for(identity, experiment="mtl-retrain")
"""

from mtl.settings.environment import set_defaults

# Before MLflow is imported: its defaults keep a call to a dead server hanging for 246 s, report usage, draw bars.
set_defaults(
    {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }
)
