#!/bin/sh
# MLflow's server with its login. The password of its databases is PGPASSWORD, which the PostgreSQL client reads by itself,
# so that no address holds it.
set -eu
: "${MLFLOW_BACKEND_STORE_URI:?the database of runs and models}"
: "${MTL_MLFLOW_AUTH_DATABASE:?the database of users}"
: "${MLFLOW_AUTH_ADMIN_PASSWORD:?the first password of the user admin}"
: "${MLFLOW_FLASK_SERVER_SECRET_KEY:?a random text that signs sessions}"
: "${MTL_ARTIFACTS:?where artifacts go, s3://bucket/prefix}"

umask 077
folder=$(mktemp -d)
export MLFLOW_AUTH_CONFIG_PATH="$folder/auth.ini"
cat > "$MLFLOW_AUTH_CONFIG_PATH" <<END
[mlflow]
default_permission = NO_PERMISSIONS
database_uri = $MTL_MLFLOW_AUTH_DATABASE
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
END
exec mlflow server --host "${MTL_BIND:-0.0.0.0}" --port "${MTL_PORT:-5000}" --workers "${MTL_MLFLOW_WORKERS:-1}" \
    --app-name basic-auth --artifacts-destination "$MTL_ARTIFACTS"
