#!/bin/sh
# Once, before the first start: a file for each secret in docker/secrets and an empty folder docker/project. What is there
# already stays as it is, so that it can be run again after an upgrade that needs another secret.
set -eu
cd "$(dirname "$0")"
umask 022
mkdir -p project secrets
# Nobody else gets into the folder. The files can be read, because the containers have users of their own.
chmod 700 secrets
random() { od -An -N20 -tx1 /dev/urandom | tr -d ' \n'; }
secret() { # NAME VALUE
    [ -e "secrets/$1" ] || printf '%s' "$2" > "secrets/$1"
    chmod 444 "secrets/$1"
}
for name in POSTGRES_PASSWORD MTL_POSTGRES_MLFLOW_PASSWORD MTL_POSTGRES_PREFECT_PASSWORD MLFLOW_AUTH_ADMIN_PASSWORD \
    MLFLOW_FLASK_SERVER_SECRET_KEY AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY MTL_WEBHOOK_MLFLOW_SECRET MTL_WEBHOOK_SECRET \
    MTL_METRICS_TOKEN MTL_SERVE_KEY; do
    secret "$name" "$(random)"
done
secret PREFECT_API_AUTH_STRING "admin:$(random)"
# 32 bytes in the base64 of addresses, as MLflow asks for
secret MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY "$(head -c 32 /dev/urandom | base64 | tr '+/' '-_')"
# Empty means unset. docs/how-to/notifications.md says what belongs into them.
for name in MTL_NOTIFY_SLACK MTL_NOTIFY_SMTP MTL_NOTIFY_SECRET; do
    secret "$name" ""
done
echo "docker/secrets holds $(find secrets -type f | wc -l | tr -d ' ') secrets; next: docker compose -f docker/compose.yaml up -d --build"
