# Two commands on a fresh machine with Python 3.11 or newer and make: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
ONLY ?=

.PHONY: setup demo up down test test-full test-newest check format safety bench clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    the whole loop on real recorded prices, through Prefect, in a folder of its own"
	@echo "make up      database, Prefect server, worker and schedules; leaves them running"
	@echo "make down    ends what 'make up' started"
	@echo "make test    all tests but the long ones (under ten minutes)"
	@echo "make check   lint, types, import contracts"
	@echo "make safety  the tests that docs/safety.md names; writes their results into it"
	@echo "make bench   figures with goal and verdict; ONLY=area for one area"
	@echo "make setup   only the virtual environment"

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Quaestor needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Set PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(INSTALLED)
	@$(BIN)/quaestor demo

up: $(INSTALLED)
	@$(BIN)/quaestor up

down: $(INSTALLED)
	@$(BIN)/quaestor down

test: $(INSTALLED)
	@$(BIN)/python tests/lanes.py -m "not full"

test-full: $(INSTALLED) test-newest
	$(BIN)/python -m pytest

# The same Prefect tests on the newest Prefect that pip finds, in a virtual environment of its own.
NEWEST := .venv-newest/bin/python
test-newest: $(INSTALLED)
	$(PYTHON) -m venv .venv-newest
	$(NEWEST) -m pip install --quiet --disable-pip-version-check --upgrade --editable '.[dev]' 'prefect<4'
	$(NEWEST) -c 'import prefect; print("Prefect", prefect.__version__)'
	$(NEWEST) -m pytest -m "not full" tests/unit tests/integration/test_prefect_stack.py tests/integration/test_loop.py

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Runs every test that docs/safety.md names and writes what was seen into its last column.
safety: $(INSTALLED)
	$(BIN)/python tests/safety.py

bench: $(INSTALLED)
	@$(BIN)/python tests/bench/run.py $(ONLY)

clean:
	rm -rf .venv .venv-newest .quaestor .mypy_cache .ruff_cache .pytest_cache .hypothesis bench-results.json
