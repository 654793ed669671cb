#!/bin/sh
# Run once by the image of PostgreSQL, on an empty volume: a database and an owner of its own for each service.
set -eu
make() { # NAME PASSWORD DATABASE...
    name=$1 password=$2
    shift 2
    # The password goes in by the environment and standard input, so that no process list shows it.
    MTL_PASSWORD=$password psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set "name=$name" \
        --username "$POSTGRES_USER" --dbname postgres <<'END'
\getenv password MTL_PASSWORD
create role :"name" login password :'password';
END
    for database in "$@"; do
        createdb --username "$POSTGRES_USER" --owner "$name" "$database"
        psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set "database=$database" \
            --username "$POSTGRES_USER" --dbname postgres <<'END'
revoke all on database :"database" from public;
END
    done
}
secrets=${MTL_SECRETS:-/run/secrets}
mlflow=$(cat "$secrets/MTL_POSTGRES_MLFLOW_PASSWORD")
prefect=$(cat "$secrets/MTL_POSTGRES_PREFECT_PASSWORD")
make mlflow "$mlflow" mlflow mlflow_auth
make prefect "$prefect" prefect
