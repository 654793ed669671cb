# The same few commands on a laptop and in CI. They need Python 3.11+ and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install retrain fmt lint docs test cov ci slow faults soak bench stack clean

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP)  ## make .venv and install the package with pinned versions

# torch first and by itself: pinned, it is the CPU wheel where the package index has one
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version)'
	@echo "installing pinned packages into $(VENV), 3 GB: this takes two to three minutes, and pip prints nothing meanwhile"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

retrain: install  ## prepare, train, evaluate, register, gate, promote, release: the demo, in a few minutes
	$(BIN)/mtl retrain -c conf/demo.yaml

fmt: install  ## format the code, fix what ruff can fix, and rewrite the generated reference pages
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python tools/reference.py

lint: install  ## ruff, formatting, types and import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: install  ## build the documentation site into site/; a broken link is an error
	$(BIN)/zensical build --clean --strict

# The tests share the cores: a thread of torch that has nothing to do sleeps, instead of keeping a core from another test.
test cov ci slow faults: export OMP_WAIT_POLICY := PASSIVE

# three workers on two cores: a third of the time of these tests is waiting, for servers and processes
QUICK := -n 3 --dist loadfile --no-loadscope-reorder -m 'not slow'
test: lint docs  ## the quick tier: lint, the documentation site and tests, about 7 minutes on two cores
	$(BIN)/pytest $(QUICK)

cov: install  ## the quick tier with coverage of mtl and flows: a table, and htmlcov/index.html
	$(BIN)/pytest $(QUICK) --cov --cov-report=term:skip-covered --cov-report=html

FAULTS := tests/faults tests/training tests/checkpoints tests/store tests/release/test_fetch.py tests/release/test_layout.py \
	tests/release/test_replay.py tests/release/test_overlap.py tests/release/test_many_promotions.py \
	tests/release/test_journal.py tests/release/test_pull_while_promoting.py tests/serving/test_planted.py \
	tests/pipeline/test_rot.py tests/mlflow_backend/test_body_limit.py tests/serving/test_serve_memory.py \
	tests/cli/test_embedding.py tests/cli/test_private.py tests/test_connections.py tests/mlflow_backend/test_faults.py
CHAIN := tests/test_real_data.py tests/tasks/test_third_task.py tests/flows/test_retrain.py tests/flows/test_warm_retrain.py tests/flows/test_drift.py tests/evaluation/drift \
	tests/serving tests/traffic tests/pipeline/test_traffic_guard.py

# With coverage the quick tier takes half as much time again on Python 3.11, so the gate measures the packages that are rules alone.
RULES := tests/config tests/metrics tests/promotion tests/test_promotion.py tests/test_mixture.py
RULES_COV := --cov=mtl.config --cov=mtl.metrics --cov=mtl.promotion --cov=mtl.mixture --cov-report=term:skip-covered --cov-fail-under=95

# Of both, the files that take longest: they go first, so that no worker is left with one of them at the end.
LONG := tests/pipeline/test_rot.py tests/release/test_worse_candidate.py tests/pipeline/test_reproduce.py tests/docker tests/server

# The gate leaves these out, and `make slow` runs them. The script for a GPU takes four minutes on the CPU. The sweeps
# damage every file and every part of each; the gate damages each document once. The gate stops S3 for minutes with moto alone.
LEFT_OUT := --ignore=tests/training/test_gpu_bench.py \
	--deselect=tests/pipeline/test_rot.py::test_any_file_rots \
	--deselect=tests/pipeline/test_rot.py::test_any_part_of_any_document_rots \
	--deselect=tests/traffic/test_redaction.py::test_two_megabytes_of_hostile_text \
	--deselect='tests/faults/test_s3.py::test_row_23_s3_is_down_for_minutes[radosgw]'

ci: test  ## what the gate runs: the quick tier, coverage of the rules, then what is slow of the fault tier and of the chain on real data
	$(BIN)/pytest -m 'not slow' $(RULES) $(RULES_COV)
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder -m slow $(LONG) $(FAULTS) $(CHAIN) $(LEFT_OUT)
	$(BIN)/pytest -m slow tests/cluster

slow: install  ## every slow test, fault tier and sweeps included; half an hour and more
	$(BIN)/pytest -m slow

faults: install  ## every fault that a training must survive, with real processes; at most 12 minutes on two cores
	$(BIN)/pytest -n 2 --dist loadfile $(FAULTS)

RUNS ?= 100
SEED ?= 1
soak: install  ## random faults for RUNS runs (default 100) from SEED; the differences it prints must be 0
	$(BIN)/python -m tests.soak --runs $(RUNS) --seed $(SEED)

bench: install  ## every benchmark, quickly; each prints one JSON object
	for file in benchmarks/bench_*.py; do $(BIN)/python $$file --quick || exit 1; done

stack: install  ## the whole service on this machine: PostgreSQL, S3, MLflow, Prefect, a worker, and the deployments
	$(BIN)/mtl stack up
	eval "$$($(BIN)/mtl stack env)" && $(BIN)/mtl deploy

clean:  ## remove what was installed and every state of the embedded service
	rm -rf $(VENV) .mtl build site .cache htmlcov .coverage* *.egg-info .mypy_cache .ruff_cache .pytest_cache
