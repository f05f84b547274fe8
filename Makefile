# `make .venv` sets everything up once; every other target does that first if need be.
.DEFAULT_GOAL := help
SHELL := /bin/sh
BIN := .venv/bin
READY := .venv/.labsched-ready
# What most people need; `dask` and `browser` are large and only tests ask for them.
EXTRAS ?= lab,panel,web,test,dev
# Processes that share the tests; more than the cores makes the tests on real clusters wait for each other.
WORKERS ?= 2

# Executed, not only looked for: version managers leave names on the PATH that run nothing.
SUITABLE := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
FIND_PYTHON = for p in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	if "$$p" -c '$(SUITABLE)' >/dev/null 2>&1; then echo "$$p"; break; fi; done

.PHONY: help .venv demo test test-all lint lab notebooks stored sweeps clean

help:
	@echo "make demo        three processes share work, the leader is killed, they carry on"
	@echo "make test        the test suite"
	@echo "make test-all    the same with 10 minutes of chaos"
	@echo "make lint        ruff, mypy, import contracts"
	@echo "make lab         JupyterLab on your own copy of the course"
	@echo "make notebooks   run every notebook and store what changed"
	@echo "make stored      rebuild stored results and recordings in data/ (long)"
	@echo "make sweeps      1000 seeds of chaos in the simulated world (SEEDS=...)"
	@echo "make .venv       only install (PYTHON=... picks the interpreter)"
	@echo "make clean       remove caches and build products; keeps .venv"

.venv: $(READY)

$(READY): constraints.txt pyproject.toml
	@python=$$($(FIND_PYTHON)); \
	if [ -z "$$python" ]; then \
		echo "labsched needs Python 3.11, 3.12 or 3.13 with the venv module, and found none." >&2; \
		echo "Debian and Ubuntu: apt-get install python3-venv. Elsewhere: make PYTHON=/path/to/python3.12 .venv" >&2; \
		exit 1; \
	fi; \
	if ! $(BIN)/python -c '$(SUITABLE)' >/dev/null 2>&1 || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		echo "Creating .venv with $$("$$python" --version)"; \
		"$$python" -m venv --clear .venv; \
	fi
	@echo "Installing the pinned packages into .venv (a minute or two, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

demo: .venv
	@$(BIN)/labsched demo

test: .venv
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile

test-all: .venv
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile --chaos-seconds=600

lint: .venv
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

lab: .venv
	@$(BIN)/labsched lab

notebooks: .venv
	@$(BIN)/python -m labsched.lab.rerun notebooks/*.ipynb

stored: .venv
	@for n in labsched/lab/stored/[!_]*.py; do \
		echo "$$n"; $(BIN)/python -m labsched.lab.stored.$$(basename $$n .py) || exit 1; done

sweeps: .venv
	@$(BIN)/labsched sim swarm --seeds $(or $(SEEDS),1000) --save labsched-sweep

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find labsched tests -name __pycache__ -type d -prune -exec rm -rf {} +
