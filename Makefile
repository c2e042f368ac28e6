# Each target works on a fresh machine: the first one called makes .venv from the lock (bootstrap/create_venv.py).
# `make PYTHON=python3.12 ...` chooses the Python. The default is python3, or a supported one on PATH.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= $(or $(firstword $(shell command -v python3 python3.13 python3.12 python3.11 python3.10)),python3)
JOBS ?= 2
KILLS ?= 100
WORDS_CONFIG := examples/word_pairs/pipeline.yaml
CONFIG ?= $(WORDS_CONFIG)

VENV := .venv/kindred.stamp
WORDS_DATA := build/data/word_pairs/pairs.csv
# The words example generates its data. Other pipeline files need existing data.
IS_WORDS := $(filter $(WORDS_CONFIG),$(patsubst ./%,%,$(CONFIG)))
RUN_DATA := $(if $(DATA),,$(if $(IS_WORDS),$(WORDS_DATA)))
# Tasks of a cluster read data from their volume (kubeflow.volumes), not from this machine.
TASK_DATA := $(or $(DATA),$(if $(IS_WORDS),/kindred/word_pairs/pairs.csv))

IMAGE ?= kindred:0.1.0
SERVING_IMAGE ?= kindred-serving:0.1.0
PACKAGE ?= build/package.yaml
DOCKER ?= $(or $(firstword $(shell command -v docker podman)),docker)

.PHONY: help run-local serve test lint docs doctor bench soak flink-up flink-down compile submit image check-image check-wheel check-fresh audit sbom clean always

help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run-local: $(VENV) $(RUN_DATA) ## Run a pipeline on this machine [CONFIG=FILE] [DATA=PATH] [ROOT=build/NAME]
	@.venv/bin/kindred run --config '$(CONFIG)' $(if $(DATA),--data '$(DATA)') $(if $(ROOT),--root '$(ROOT)')

serve: $(VENV) ## Serve a published model, REST on 8501, gRPC on 8500 [ROOT=build/NAME]
	@.venv/bin/kindred serve --root '$(or $(ROOT),build/word-pairs)'

compile: $(VENV) ## Compile a pipeline for Kubeflow [CONFIG=FILE] [DATA=PATH] [PACKAGE=build/package.yaml]
	@mkdir -p '$(dir $(PACKAGE))'
	@.venv/bin/kindred compile --config '$(CONFIG)' $(if $(TASK_DATA),--data '$(TASK_DATA)') --output '$(PACKAGE)'

submit: $(VENV) ## Run a pipeline on Kubeflow and follow it [HOST=URL] [CONFIG=FILE] [DATA=PATH]
	@.venv/bin/kindred submit --config '$(CONFIG)' $(if $(TASK_DATA),--data '$(TASK_DATA)') $(if $(HOST),--host '$(HOST)')

image: ## Build the image of all tasks and the one of the model server [IMAGE=kindred:0.1.0] [SERVING_IMAGE=NAME] [BASE=IMAGE]
	@command -v '$(DOCKER)' >/dev/null || { echo 'docker or podman is needed to build the images, but neither is installed.' >&2; exit 2; }
	@build() { DOCKER_BUILDKIT=1 '$(DOCKER)' build --file deploy/Dockerfile $(if $(BASE),--build-arg 'BASE=$(BASE)') "$$@" .; }; \
		build --target tasks --tag '$(IMAGE)' && build --target serving --tag '$(SERVING_IMAGE)'

check-image: $(VENV) ## Build both images with podman and run them without network and privileges [BASE=IMAGE] [PODMAN=COMMAND]
	@.venv/bin/python -m pytest tests/image -s $(ARGS)

test: $(VENV) ## Run the tests, fast ones first [JOBS=2: processes]
	@.venv/bin/python -m pytest --numprocesses $(JOBS) --dist loadfile $(wildcard tests/unit tests/integration tests/reliability)
	@.venv/bin/python -m pytest --numprocesses $(JOBS) --dist loadfile $(wildcard tests/e2e)

lint: $(VENV) ## Check style, types and import directions
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

doctor: $(VENV) ## Check the installation and suggest fixes
	@.venv/bin/python -m pipeline.commands.doctor

docs: $(VENV) ## Build the documentation site into build/site
	@.venv/bin/python -m bootstrap.site

soak: $(VENV) ## Run a pipeline many times in one root, and kill runs at random points [ARGS="--runs 100"] [KILLS=100]
	.venv/bin/python -m benchmarks.soak $(ARGS)
	.venv/bin/python -m tests.reliability.kills --kills $(KILLS)

bench: $(VENV) ## Run a benchmark, or list them [BENCH=NAME] [ARGS="--rows 100000"]
	@if [ -n '$(BENCH)' ]; then .venv/bin/python -m benchmarks.$(BENCH) $(ARGS); else .venv/bin/python -m benchmarks; fi

flink-up: $(VENV) ## Start Flink and the Beam services on loopback, for --beam flink (needs Java and Maven)
	@.venv/bin/python -m bootstrap.flink up

flink-down: ## Stop the processes of flink-up
	@if [ -x .venv/bin/python ]; then .venv/bin/python -m bootstrap.flink down; fi

check-wheel: $(VENV) ## Build the wheel, install it outside the repository and run its commands
	@.venv/bin/python -m bootstrap.check_wheel

check-fresh: $(VENV) ## Check the setup on bare machines and every installed Python [ONLY=bookworm] [FULL=1] (root)
	@.venv/bin/python -m bootstrap.check_fresh $(ONLY) $(if $(FULL),--full)

audit: $(VENV) ## Compare the packages of the lock with known vulnerabilities (needs the internet)
	@.venv/bin/python -m bootstrap.audit

sbom: $(VENV) ## Write the packages of the lock as CycloneDX JSON [SBOM=build/sbom.json]
	@.venv/bin/python -m bootstrap.sbom '$(or $(SBOM),build/sbom.json)'

clean: ## Remove build/ (runs, generated data, logs) and tool caches, but not .venv
	@if [ -d build/flink/run ]; then $(MAKE) flink-down; fi
	@rm -rf build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

# Runs if one of these files is newer than the stamp, if the user chose a Python, or if the Python of .venv is missing.
# create_venv.py checks again within milliseconds, and does nothing if nothing changed.
CHOSEN := $(filter command environment,$(origin PYTHON))
$(VENV): uv.lock pyproject.toml $(addprefix bootstrap/,create_venv.py supported.py steps.py glibc.py elf_versions.py uv.txt) \
		$(if $(CHOSEN),always) $(shell test -x .venv/bin/python || echo always)
	@command -v '$(PYTHON)' >/dev/null || { echo '`$(PYTHON)` is not installed: install Python 3.10, 3.11, 3.12 or' \
		'3.13, or choose one with `make PYTHON=/path/to/python3.12 ...`.' >&2; exit 2; }
	@'$(PYTHON)' bootstrap/create_venv.py $(if $(CHOSEN),--chosen)

$(WORDS_DATA): $(wildcard examples/word_pairs/*.py) | $(VENV)
	@.venv/bin/python -m examples.word_pairs.make_pairs
