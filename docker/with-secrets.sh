#!/bin/sh
# Start a program with secrets from files: each file in /run/secrets that is named like a variable becomes that variable,
# unless it is set already. Docker and Kubernetes mount secrets so, and `docker inspect` shows none of them.
set -eu
for file in "${MTL_SECRETS:-/run/secrets}"/*; do
    name=${file##*/}
    case $name in '' | [!A-Z]* | *[!A-Z0-9_]*) continue ;; esac
    [ -f "$file" ] || continue
    eval "given=\${$name:-}"
    # shellcheck disable=SC2154  # eval sets it
    [ -z "$given" ] || continue
    value=$(cat "$file")
    [ -z "$value" ] || export "$name=$value"
done
exec "$@"
