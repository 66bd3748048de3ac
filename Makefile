# Everything runs inside .venv, which the first target that needs it creates.
# Choose another interpreter with: make test PYTHON=python3.12

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# Tests on two processes; `make test JOBS=0` runs them one after another.
JOBS ?= 2
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo demo-http test check bench fix clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /\1|/' \
		| while IFS='|' read -r name text; do printf '  make %-9s %s\n' "$$name" "$$text"; done

demo: $(VENV)/.ready-demo  ## watch requests finish on the Lambda version that started them (under 30 s)
	$(BIN)/python samples/demo/demo.py

demo-http: $(VENV)/.ready-demo  ## the same story with versions that are HTTP servers
	$(BIN)/python samples/demo/demo_http.py

test: $(VENV)/.ready-dev  ## run all tests, those with real processes too; ARGS goes to pytest
	$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

check: $(VENV)/.ready-dev  ## lint, format, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(VENV)/.ready-dev  ## repair what lint and format can repair by themselves
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.ready-dev  ## measure throughput, latency and memory
	$(BIN)/python -m tests.bench $(ARGS)

clean:  ## remove the environment and all caches (never a data folder)
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache \
		.import_linter_cache .hypothesis .cache .coverage
	find core adapters tests samples -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "steadfaas needs Python 3.11 or later; try: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Stamps: what is installed is installed again only when its list has changed.
$(VENV)/.ready-demo: pyproject.toml samples/demo/requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[aws,testing]' \
		-r samples/demo/requirements.txt
	@touch $@

# Dependency groups need pip 25.1.
$(VENV)/.ready-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[aws,sql,testing]' --group dev
	@touch $@
