# `make` alone lists what there is. Every target sets up what it needs.
# This file names commands and their order; what they do is in local/, gates/ and tests/.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
# Which environment of samconfig.toml `make deploy` means: dev or prod.
ENV ?= dev

VENV := .venv
BIN := $(VENV)/bin
UV := .tools/bin/uv
SAM := .tools/bin/sam

READY := $(VENV)/.installed
SAM_READY := .tools/sam/.installed

# `sam build` looks for uv on PATH, to build the layer. Only these two programs, not their whole environments.
export PATH := $(CURDIR)/.tools/bin:$(PATH)
export SAM_CLI_TELEMETRY := 0
# Trust what this system trusts, as pip and curl do: an index may stand behind a company's own certificate.
export UV_SYSTEM_CERTS := 1

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
	@echo "Installing uv" >&2
	@rm -rf .tools/uv && mkdir -p .tools/bin
	@$(PYTHON) -m venv .tools/uv
	@.tools/uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@ln -sf ../uv/bin/uv .tools/bin/uv
	@touch $@

# uv reads none of pip's settings; the environment of a caller must not redirect these installs either.
UV_ENV := env -u VIRTUAL_ENV -u PYTHONPATH UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1

$(READY): requirements/dev.txt sdk/python/pyproject.toml .tools/uv/.installed
	@echo "Installing libraries and checks into $(VENV)" >&2
	@test -x $(BIN)/python || $(UV_ENV) $(UV) venv --quiet --python "$$(command -v $(PYTHON))" $(VENV)
	@$(UV_ENV) $(UV) pip sync --quiet --require-hashes --python $(BIN)/python requirements/dev.txt
	@$(UV_ENV) $(UV) pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python -e sdk/python
	@touch $@

$(SAM_READY): requirements/sam.txt .tools/uv/.installed
	@echo "Installing the AWS SAM command line into .tools/sam" >&2
	@test -x .tools/sam/bin/python || $(UV_ENV) $(UV) venv --quiet --python "$$(command -v $(PYTHON))" .tools/sam
	@$(UV_ENV) $(UV) pip sync --quiet --require-hashes --python .tools/sam/bin/python requirements/sam.txt
	@ln -sf ../sam/bin/sam .tools/bin/sam
	@touch $@

##@ The stack on this machine

LOCAL = $(BIN)/python -m local

.PHONY: demo up down reset logs env image invite grant
demo: $(READY) $(SAM_READY) ## Start the stack and run the main job, its output shown as it is written
	@$(LOCAL) demo

up: $(READY) $(SAM_READY) ## Start the stack; what it kept from last time is there again
	@$(LOCAL) up

down: $(READY) ## Close all sessions, settle what they owe, stop the stack, keep its state
	@$(LOCAL) down

reset: $(READY) ## Stop the stack and forget its state
	@$(LOCAL) reset

logs: $(READY) ## Follow what functions, emulator and sandboxes log
	@$(LOCAL) logs

env: $(READY) ## Print export lines: eval "$(make -s env)"
	@$(LOCAL) env

image: $(READY) ## Build the sandbox's image with docker or podman, where it is not there yet
	@$(LOCAL) image

invite: $(READY) ## Make an invitation to sign up
	@$(LOCAL) invite

grant: $(READY) ## Give an account credits: make grant EMAIL=a@b.c CREDITS=100
	@[ -n "$${EMAIL:-}" ] && [ -n "$${CREDITS:-}" ] || { echo "Say whose and how many: make grant EMAIL=a@b.c CREDITS=100" >&2; exit 2; }
	@$(LOCAL) grant "$$EMAIL" "$$CREDITS"

##@ Tests

PYTEST = $(BIN)/python -m pytest
PYTEST_ARGS ?=

.PHONY: test test-fast test-unit test-contract test-agent test-local test-stack fuzz chaos mutate gate
test: lint test-unit test-contract mutate test-agent test-local test-stack ## Everything: lint, unit, SDK, contract, AWS, mutate, agent, local and, on stacks of their own, stack and gate

test-fast: $(READY) ## What needs no process of its own: unit, AWS (moto) and SDK
	@$(PYTEST) -q -n 2 tests/unit tests/aws tests/sdk $(PYTEST_ARGS)

test-unit: $(READY) ## Unit and SDK
	@$(PYTEST) -q -n 2 tests/unit tests/sdk $(PYTEST_ARGS)

test-contract: $(READY) ## What the OpenAPI document says, held against the platform in process
	@$(PYTEST) -q -n 2 tests/contract $(PYTEST_ARGS)

test-agent: $(READY) ## The sandbox agent
	@$(PYTEST) -q -n 2 tests/agent $(PYTEST_ARGS)

test-local: $(READY) $(SAM_READY) ## The stack of this machine: sandboxes, doors, mends of the emulator; and `sam local`
	@$(PYTEST) -q -n 2 --dist loadfile tests/local $(PYTEST_ARGS)

test-stack: $(READY) $(SAM_READY) ## The whole system, with the gate, on a stack for each kind of sandboxes
	@$(PYTEST) -q -n 2 tests/stack $(PYTEST_ARGS)

CASES ?= 10000

fuzz: $(READY) ## Many requests made of the OpenAPI document, and messages for the socket: make fuzz CASES=10000
	@FUZZ_CASES=$(CASES) $(PYTEST) -q -n 2 tests/contract/test_fuzz.py tests/contract/test_socket_fuzz.py $(PYTEST_ARGS)

# Without a seed it takes one, and says which.
SEED ?=
TASKS ?= 1000
MB ?= 2000

chaos: $(READY) $(SAM_READY) ## Tasks while lines break and calls fail, on a stack of its own: make chaos SEED=1 TASKS=1000 MB=2000
	@PYTHONPATH=layers/common $(BIN)/python -m tests.chaos "$(SEED)" $(TASKS) $(MB)

mutate: $(READY) ## AWS tests as they are, then with each condition of each write taken out: one must fail; lists which
	@$(PYTEST) -qq -p gates.mutation.plugin tests/aws $(PYTEST_ARGS)

gate: $(READY) ## What a caller does, with curl and jq, against FILEPATH_URL or the running stack
	@if [ -z "$${FILEPATH_URL:-}" ]; then eval "$$($(LOCAL) env)"; fi; gates/agents-sdk-e2e.sh

##@ Measurements

COUNT ?= 50

.PHONY: bench
bench: $(READY) $(SAM_READY) ## What a task costs on AWS, into docs/cost.md; on a stack of its own, some three minutes
	@$(BIN)/python -m benchmarks.cost $(COUNT)

.PHONY: bench-hops
bench-hops: $(READY) ## Where the time of one short task goes, on the running stack: make bench-hops COUNT=50
	@$(BIN)/python -m benchmarks.hops $(COUNT)

# The runtimes beside which the agent is measured. One of them needs Python 3.12 and is left out where there is none.
PYTHON_3_12 = $(shell for python in "$$HOME"/.pyenv/versions/3.12.*/bin/python python3.12; do \
	"$$python" -c 'import sys; print(sys.executable)' 2>/dev/null && break; done)
PEERS = .tools/swe-rex/.installed $(if $(PYTHON_3_12),.tools/openhands/.installed)

.tools/openhands/.installed: PEER_PYTHON = $(PYTHON_3_12)
.tools/%/.installed: PEER_PYTHON ?= $(PYTHON)
.tools/swe-rex/.installed .tools/openhands/.installed: .tools/%/.installed: requirements/%.txt .tools/uv/.installed
	@echo "Installing $* into .tools/$*" >&2
	@test -x .tools/$*/bin/python || $(UV_ENV) $(UV) venv --quiet --python "$$(command -v $(PEER_PYTHON))" .tools/$*
	@$(UV_ENV) $(UV) pip sync --quiet --require-hashes --python .tools/$*/bin/python requirements/$*.txt
	@touch $@

.PHONY: bench-agent
bench-agent: $(READY) $(PEERS) ## The sandbox agent beside a floor and other runtimes, to docs/agent-speed.md (BENCH=quick: a look)
	@$(BIN)/python -m benchmarks.agent $(BENCH)

##@ Checks

SHELL_SCRIPTS = .ci/run $(wildcard gates/*.sh requirements/*.sh sandbox/*.sh local/*.sh)

.PHONY: lint format lock-check house-rules validate lint-code lint-format lint-types lint-imports lint-shell
lint: lint-code lint-format lint-types lint-imports lint-shell house-rules validate ## All static checks (make -k lint: past the first that fails)

lint-code: $(READY)
	@echo "ruff"; $(BIN)/ruff check --quiet

lint-format: $(READY)
	@echo "ruff format"; $(BIN)/ruff format --check --quiet || { echo "Not formatted; run: make format" >&2; exit 1; }

lint-types: $(READY)
	@echo "mypy --strict"; $(BIN)/mypy

lint-imports: $(READY)
	@echo "import contracts"; out="$$(PYTHONPATH=layers/common $(BIN)/lint-imports 2>&1)" || { echo "$$out"; exit 1; }

lint-shell: $(READY)
	@echo "shellcheck"; $(BIN)/shellcheck $(SHELL_SCRIPTS)

format: $(READY) ## Let ruff format and mend what it can
	@$(BIN)/ruff check --fix --quiet || true
	@$(BIN)/ruff format --quiet

house-rules: $(READY) ## The rules of this repository that no linter has
	@echo "house rules";   $(BIN)/python -m gates

validate: $(READY) $(SAM_READY) ## The template, as SAM and CloudFormation see it
	@echo "template"; $(SAM) validate --lint --region us-east-1 --template-file template.yaml >/dev/null
	@$(BIN)/cfn-lint template.yaml

##@ AWS

.PHONY: build deploy undeploy
build: $(SAM_READY) ## Build functions and layer into .aws-sam
	@$(SAM) build
	@find .aws-sam/build/CommonLayer -name '*.pyc' -print -quit | grep -q . || { \
		echo "Note: this machine does not have the Python that the layer is for, so the layer is not compiled and" >&2; \
		echo "every cold start takes about twice as long. Install that Python before you deploy." >&2; }

# PARAMETERS="Name=value …" of the template; IMAGE=… a sandbox image that is built already.
deploy: $(READY) $(SAM_READY) ## Deploy to the AWS account at hand, image and stack: make deploy ENV=dev
	@$(BIN)/python -m deploy up $(ENV) --parameters "$${PARAMETERS:-}" --image "$${IMAGE:-}" $(if $(UNCOMPILED),--uncompiled)

undeploy: $(READY) ## Remove it all, the data too: make undeploy ENV=dev [CONFIRM=stack] [KEEP=data]
	@$(BIN)/python -m deploy down $(ENV) --confirm "$${CONFIRM:-}" $(if $(filter data,$(KEEP)),--keep-data)

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
	@$(COMPILE) --group lambda -o tests/local/lambda/requirements.txt
	@$(COMPILE) --group sam -o requirements/sam.txt
	@$(COMPILE) --group uv -o requirements/uv.txt
	@$(COMPILE) --group swe-rex -o requirements/swe-rex.txt
	@$(subst --python-version 3.11,--python-version 3.12,$(COMPILE)) --group openhands -o requirements/openhands.txt

lock-check: $(READY) ## See that the locked requirements are those of pyproject.toml, without network
	@$(BIN)/python -m gates requirements

##@ Clean

.PHONY: clean
clean: ## Remove environments, tools, builds and caches; the stack's state stays
	@rm -rf $(VENV) .tools .aws-sam .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
