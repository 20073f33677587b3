# `make` alone lists what there is. Every target sets up what it needs.
# This file names commands and their order; what they do is in local/, gates/ and tests/.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
ENV ?= dev

VENV := .venv
BIN := $(VENV)/bin
UV := .tools/uv/bin/uv
SAM := .tools/sam/bin/sam

READY := $(VENV)/.installed
SAM_READY := .tools/sam/.installed

##@ Set up

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: setup
setup: $(READY) $(SAM_READY) ## Install the tools and libraries into .venv and .tools
	@echo "Ready. Next: make demo, make up or make test."

.tools/uv/.installed: requirements/uv.txt requirements/system-packages.sh
	@PYTHON=$(PYTHON) requirements/system-packages.sh
	@echo "Installing uv"
	@rm -rf .tools/uv && mkdir -p .tools
	@$(PYTHON) -m venv .tools/uv
	@.tools/uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

# uv reads none of pip's settings; the environment of a caller must not redirect these installs either.
UV_ENV := env -u VIRTUAL_ENV -u PYTHONPATH UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1

$(READY): requirements/dev.txt .tools/uv/.installed
	@echo "Installing libraries and checks into $(VENV)"
	@test -x $(BIN)/python || $(UV_ENV) $(UV) venv --quiet --python "$$(command -v $(PYTHON))" $(VENV)
	@$(UV_ENV) $(UV) pip sync --quiet --require-hashes --python $(BIN)/python requirements/dev.txt
	@if [ -f sdk/python/pyproject.toml ]; then \
		$(UV_ENV) $(UV) pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python -e sdk/python; fi
	@touch $@

$(SAM_READY): requirements/sam.txt .tools/uv/.installed
	@echo "Installing the AWS SAM command line into .tools/sam"
	@test -x .tools/sam/bin/python || $(UV_ENV) $(UV) venv --quiet --python "$$(command -v $(PYTHON))" .tools/sam
	@$(UV_ENV) $(UV) pip sync --quiet --require-hashes --python .tools/sam/bin/python requirements/sam.txt
	@touch $@

##@ Dependencies

# The emulator pins botocore, so the largest set is resolved first and the others take its versions.
COMPILE = $(UV_ENV) UV_CUSTOM_COMPILE_COMMAND="make lock" $(UV) pip compile --quiet --universal --generate-hashes \
	--python-version 3.11 --no-emit-index-url --no-emit-find-links $(UPGRADE)
UPGRADE ?=

.PHONY: lock
lock: .tools/uv/.installed ## Compile pyproject.toml to locked requirements (UPGRADE=--upgrade for newer ones)
	@$(COMPILE) pyproject.toml sdk/python/pyproject.toml --group dev --group emulator --group sandbox \
		-o requirements/dev.txt
	@$(COMPILE) pyproject.toml -c requirements/dev.txt -o layers/common/requirements.txt
	@$(COMPILE) --group sandbox -c requirements/dev.txt -o sandbox/requirements.txt
	@$(COMPILE) --group sam -o requirements/sam.txt
	@$(COMPILE) --group uv -o requirements/uv.txt
