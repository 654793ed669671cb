#!/bin/sh
# The worker: waits until nothing is wrong any more, registers the deployments, then runs what they schedule.
# Stopped, it has its runs save a checkpoint first: whatever still runs when a container's first process ends is killed.
set -eu
umask 077

# Whether one of the processes has not ended; a parent that stands still leaves them as zombies.
alive() {
    for process in "$@"; do
        ! grep -qs '^State:.[^ZX]' "/proc/$process/status" || return 0
    done
    return 1
}

# A run that gets SIGTERM finishes its step, saves a checkpoint and schedules itself again. The worker stands still
# meanwhile: it would start the run again at once.
drain() {
    trap '' TERM INT
    kill -STOP "$worker"
    runs=$(cat "/proc/$worker/task"/*/children)
    echo "stopping: $(echo "$runs" | wc -w) processes of runs save a checkpoint"
    # shellcheck disable=SC2086  # one word for each process
    kill -TERM $runs 2> /dev/null || true
    # shellcheck disable=SC2086
    while alive $runs; do sleep 0.2; done
    kill -KILL "$worker"
    exit 143
}

mtl doctor
mtl deploy # keeps what is deployed; at first it is the demo
prefect worker start --pool mtl --type process --name "${MTL_WORKER_NAME:-$(hostname)}" --with-healthcheck &
worker=$!
trap drain TERM INT
wait "$worker"
