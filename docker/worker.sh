#!/bin/sh
# The worker: waits until nothing is wrong any more, registers the deployments, then runs what they schedule.
set -eu
umask 077
config=${MTL_CONFIG:-conf/demo.yaml}
mtl doctor --config "$config"
mtl deploy --config "$config"
exec prefect worker start --pool mtl --type process --name "${MTL_WORKER_NAME:-$(hostname)}"
