"""The environment that leads programs to a stack: what `mtl stack env` prints, and what its worker runs with."""

from __future__ import annotations

from mtl.stack.state import BUCKET, Stack


def client_environment(stack: Stack) -> dict[str, str]:
    """Addresses and logins of all services. Of a store that is not the stack's own, what leads to it stays as it is."""
    return {
        "MTL_HOME": str(stack.home),
        "MTL_STORE": stack.store or f"s3://{BUCKET}/store",
        **s3_environment(stack),
        "MLFLOW_TRACKING_URI": stack.url("mlflow"),
        "MLFLOW_TRACKING_USERNAME": "admin",
        "MLFLOW_TRACKING_PASSWORD": stack.secrets["mlflow"],
        "PREFECT_API_URL": f"{stack.url('prefect')}/api",
        "PREFECT_API_AUTH_STRING": prefect_login(stack),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "MTL_WEBHOOK_SECRET": stack.secrets["webhook_data"],
        "MTL_METRICS_TOKEN": stack.secrets["metrics"],
        "MTL_SERVE_URL": stack.url("serve"),
        "MTL_SERVE_KEY": stack.secrets["serve"],
    }


def s3_environment(stack: Stack) -> dict[str, str]:
    """Address and keys of the stack's own S3; nothing where it uses another store."""
    if stack.store is not None:
        return {}
    return {
        "AWS_ENDPOINT_URL_S3": stack.url("s3"),
        "AWS_ACCESS_KEY_ID": stack.secrets.get("s3_key", ""),
        "AWS_SECRET_ACCESS_KEY": stack.secrets.get("s3_secret", ""),
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def prefect_login(stack: Stack) -> str:
    """Prefect's login, as its form asks for it: user:password."""
    return f"admin:{stack.secrets['prefect']}"
