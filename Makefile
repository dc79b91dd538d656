# The few commands a person types.  `make` alone lists them.
#
# Everything is built into .venv/, .venvs/ and build/ of this folder; a second run does only what is left to do.
# pip uses whatever index it is configured for; no address is written here.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SDK_VERSION := 1.1.4
JUPYTER_AI_VERSION := 0.0.4
# PYTEST_ARGS goes to pytest (make test PYTEST_ARGS="-k ledger"); PYTEST_WORKERS is for the tests without a browser, which run
# beside those with one.
PYTEST_WORKERS ?= 2
PYTEST_ARGS ?=
export PYTEST_WORKERS PYTEST_ARGS
PIP := -m pip install --quiet --disable-pip-version-check
# The JupyterLab extension has a step of its own (scripts/labextension.py): Python alone is enough to install the rest.
export SKIP_JUPYTER_BUILDER := 1

.PHONY: help demo test check floors soak lint lab bench format clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.stamp-demo ## run the example notebooks on the simulated network; results in build/demo/ (the first time fetches a model: 127 MB)
	@$(BIN)/python scripts/weights.py
	@$(BIN)/python scripts/demo.py

test: $(VENV)/.stamp-test .venvs/sdk/.stamp .venvs/jupyter-ai/.stamp ## everything that CI runs (Debian 12; installs Chromium and Node if missing)
	@scripts/need_apt.sh chromium chromium
	@scripts/need_apt.sh node nodejs
	@scripts/need_apt.sh npm npm
	@scripts/need_anvil.sh .venvs/npm-anvil
	@$(BIN)/python scripts/weights.py
	@$(BIN)/python scripts/test.py

check: $(VENV)/.stamp-test ## style, types and the quick tests, for while one edits (PYTEST_ARGS="-k ledger" for a part of them)
	@$(BIN)/python scripts/test.py --check

floors: .venvs/floors/.stamp ## the quick tests with the lowest version of each dependency that pyproject.toml admits
	@.venvs/floors/bin/python scripts/test.py --quick

soak: $(VENV)/.stamp-test .venvs/sdk/.stamp ## fuzz and the random corpus at length (some 30 minutes)
	@$(BIN)/python scripts/labextension.py
	@OPG_FUZZ_EXAMPLES=20000 OPG_CORPUS_MUTATIONS=20000 OPG_CORPUS_SEED=$${OPG_CORPUS_SEED:-$$(date +%s)} \
		$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadgroup --timeout 3600 tests/fuzz tests/corpus $(PYTEST_ARGS)

lint: $(VENV)/.stamp-test ## style (ruff) and types (mypy --strict)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

format: $(VENV)/.stamp-test ## put the code into its form
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

lab: $(VENV)/.stamp-lab ## JupyterLab with copies of the examples, on the simulated network
	@$(BIN)/python scripts/labextension.py --quick --optional
	@$(BIN)/python scripts/weights.py
	@$(BIN)/python scripts/lab.py

bench: $(VENV)/.stamp-test .venvs/sdk/.stamp-bench .venvs/bench-jupysql/.stamp .venvs/bench-bigquery-magics/.stamp .venvs/bench-jupyter-ai-magics/.stamp .venvs/bench-openaivec/.stamp ## measure, beside peers; figures in build/bench.json
	@scripts/need_apt.sh chromium chromium
	@scripts/need_apt.sh node nodejs
	@$(BIN)/python benchmarks/run.py

clean: ## remove build/ (the environments stay)
	@rm -rf build

# ---------------------------------------------------------------------------------------------------- environments

$(BIN)/python:
	@scripts/make_venv.sh $(PYTHON) $(VENV)

$(VENV)/.stamp-demo: pyproject.toml | $(BIN)/python
	@echo "Installing opg_magic with the simulated network into $(VENV) ..."
	@$(BIN)/python $(PIP) -e '.[demo]'
	@touch $@

$(VENV)/.stamp-lab: pyproject.toml | $(BIN)/python
	@echo "Installing opg_magic with JupyterLab into $(VENV) ..."
	@$(BIN)/python $(PIP) -e '.[demo,lab,build]'
	@touch $@

$(VENV)/.stamp-test: pyproject.toml | $(BIN)/python
	@echo "Installing opg_magic with all that the tests need into $(VENV) ..."
	@$(BIN)/python $(PIP) -e '.[test,lint]'
	@touch $@

.venvs/floors/.stamp: pyproject.toml scripts/floors.py
	@scripts/make_venv.sh $(PYTHON) .venvs/floors
	@echo "Installing the lowest versions that pyproject.toml admits into .venvs/floors ..."
	@.venvs/floors/bin/python scripts/floors.py .venvs/floors/constraints.txt
	@.venvs/floors/bin/python $(PIP) -c .venvs/floors/constraints.txt -e '.[test]'
	@touch $@

# The official SDK brings packages that must not meet ours (both install a module x402): a venv of its own.
.venvs/sdk/.stamp:
	@scripts/make_venv.sh $(PYTHON) .venvs/sdk
	@echo "Installing opengradient==$(SDK_VERSION) into .venvs/sdk ..."
	@.venvs/sdk/bin/python $(PIP) 'opengradient==$(SDK_VERSION)' \
		|| { echo "make: opengradient==$(SDK_VERSION) could not be installed; the tests beside the official SDK need it" >&2; exit 1; }
	@touch $@

.venvs/sdk/.stamp-bench: .venvs/sdk/.stamp
	@.venvs/sdk/bin/python $(PIP) ipykernel
	@touch $@

# %%ai, which asks through opg serve (477 MB, most of it litellm's).
.venvs/jupyter-ai/.stamp:
	@scripts/make_venv.sh $(PYTHON) .venvs/jupyter-ai
	@echo "Installing jupyter-ai-magic-commands==$(JUPYTER_AI_VERSION) into .venvs/jupyter-ai ..."
	@.venvs/jupyter-ai/bin/python $(PIP) 'jupyter-ai-magic-commands==$(JUPYTER_AI_VERSION)' \
		|| { echo "make: jupyter-ai-magic-commands==$(JUPYTER_AI_VERSION) could not be installed; the test of %%ai needs it" >&2; exit 1; }
	@touch $@

# Peers of the benchmarks, each by itself.
.venvs/bench-%/.stamp:
	@scripts/make_venv.sh $(PYTHON) .venvs/bench-$*
	@echo "Installing $* into .venvs/bench-$* ..."
	@.venvs/bench-$*/bin/python $(PIP) '$*' ipykernel
	@touch $@
