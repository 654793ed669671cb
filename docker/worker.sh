#!/bin/sh
# The worker: waits until nothing is wrong any more, registers the deployments, then runs what they schedule.
set -eu
umask 077
# Without MTL_CONFIG what is deployed stays deployed, at first the demo.
mtl doctor ${MTL_CONFIG:+--config "$MTL_CONFIG"}
mtl deploy ${MTL_CONFIG:+--config "$MTL_CONFIG"}
exec prefect worker start --pool mtl --type process --name "${MTL_WORKER_NAME:-$(hostname)}"
