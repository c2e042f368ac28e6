# Each target works on a fresh machine: the first one called makes .venv from the lock (bootstrap/create_venv.py).
# `make PYTHON=python3.12 ...` chooses the Python; otherwise it is python3, or a supported one that is on PATH.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= $(or $(firstword $(shell command -v python3 python3.13 python3.12 python3.11 python3.10)),python3)
WORDS_CONFIG := examples/word_pairs/pipeline.yaml
CONFIG ?= $(WORDS_CONFIG)

VENV := .venv/kindred.stamp
WORDS_DATA := build/data/word_pairs/pairs.csv
# The words example makes its own data; any other pipeline file names, or is given, data that exist.
IS_WORDS := $(filter $(WORDS_CONFIG),$(patsubst ./%,%,$(CONFIG)))
RUN_DATA := $(if $(DATA),,$(if $(IS_WORDS),$(WORDS_DATA)))
# Tasks of a cluster see what is on their volume (kubeflow.volumes), not what is made here.
TASK_DATA := $(or $(DATA),$(if $(IS_WORDS),/kindred/word_pairs/pairs.csv))

IMAGE ?= kindred:0.1.0
PACKAGE ?= build/package.yaml
DOCKER ?= $(or $(firstword $(shell command -v docker podman)),docker)

.PHONY: help run-local serve test lint doctor bench flink-up flink-down compile submit image check-fresh clean always

help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run-local: $(VENV) $(RUN_DATA) ## Run a pipeline on this machine [CONFIG=FILE] [DATA=PATH] [ROOT=build/NAME]
	@.venv/bin/kindred run --config '$(CONFIG)' $(if $(DATA),--data '$(DATA)') $(if $(ROOT),--root '$(ROOT)')

serve: $(VENV) ## Serve what a pipeline published, REST on 8501, gRPC on 8500 [ROOT=build/NAME]
	@.venv/bin/kindred serve --root '$(or $(ROOT),build/word-pairs)'

compile: $(VENV) ## Compile a pipeline for Kubeflow [CONFIG=FILE] [DATA=PATH] [PACKAGE=build/package.yaml]
	@mkdir -p '$(dir $(PACKAGE))'
	@.venv/bin/kindred compile --config '$(CONFIG)' $(if $(TASK_DATA),--data '$(TASK_DATA)') --output '$(PACKAGE)'

submit: $(VENV) ## Run a pipeline on Kubeflow and follow it [HOST=URL] [CONFIG=FILE] [DATA=PATH]
	@.venv/bin/kindred submit --config '$(CONFIG)' $(if $(TASK_DATA),--data '$(TASK_DATA)') $(if $(HOST),--host '$(HOST)')

image: ## Build the image of every task [IMAGE=kindred:0.1.0]
	@command -v '$(DOCKER)' >/dev/null || { echo 'There is no docker or podman here to build the image with.' >&2; exit 2; }
	@DOCKER_BUILDKIT=1 '$(DOCKER)' build --file deploy/Dockerfile --tag '$(IMAGE)' .

test: $(VENV) ## Run the tests, fast ones first
	@.venv/bin/python -m pytest $(wildcard tests/unit tests/integration tests/e2e)

lint: $(VENV) ## Check style, types and the direction of imports
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

doctor: $(VENV) ## Check that everything a run needs is here, and say how to mend what is not
	@.venv/bin/python -m pipeline.commands.doctor

bench: $(VENV) ## Run a benchmark [BENCH=NAME] [ARGS="--rows 100000"]; without BENCH: list them
	@if [ -n '$(BENCH)' ]; then .venv/bin/python -m benchmarks.$(BENCH) $(ARGS); else .venv/bin/python -m benchmarks; fi

flink-up: $(VENV) ## Start Flink with Beam's services on loopback, for --beam flink (needs Java and Maven)
	@.venv/bin/python -m bootstrap.flink up

flink-down: ## Stop what flink-up started
	@if [ -x .venv/bin/python ]; then .venv/bin/python -m bootstrap.flink down; fi

check-fresh: $(VENV) ## Prove the set-up on bare machines and every Python here [ONLY=bookworm] [FULL=1] (root)
	@.venv/bin/python -m bootstrap.check_fresh $(ONLY) $(if $(FULL),--full)

clean: ## Remove build/ (runs, made data, logs) and the tools' caches; .venv stays
	@if [ -d build/flink/run ]; then $(MAKE) flink-down; fi
	@rm -rf build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

# Called when one of these files is newer than the stamp; also when a Python was chosen, or that of .venv is gone:
# create_venv.py then looks itself, in milliseconds, and does nothing if nothing changed.
CHOSEN := $(filter command environment,$(origin PYTHON))
$(VENV): uv.lock pyproject.toml bootstrap/create_venv.py bootstrap/glibc.py \
		$(if $(CHOSEN),always) $(shell test -x .venv/bin/python || echo always)
	@command -v '$(PYTHON)' >/dev/null || { echo 'There is no `$(PYTHON)` here: install Python 3.10, 3.11, 3.12 or' \
		'3.13, or name one with `make PYTHON=/path/to/python3.12 ...`.' >&2; exit 2; }
	@'$(PYTHON)' bootstrap/create_venv.py $(if $(CHOSEN),--chosen)

$(WORDS_DATA): $(wildcard examples/word_pairs/*.py) | $(VENV)
	@.venv/bin/python -m examples.word_pairs.make_pairs
