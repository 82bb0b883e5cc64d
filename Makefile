# Every target sets up what it needs: a virtual environment with exactly what requirements/lock.txt names.
PYTHON ?= python3
BIN := .venv/bin
STACK := $(BIN)/python starter.py

.PHONY: demo test lint format bench up down lock clean
.DELETE_ON_ERROR:

demo: .venv/.synced
	$(STACK) demo $(if $(YES),--yes)

test: .venv/.synced
	@$(BIN)/python -m devstack.temporal_program
	$(BIN)/pytest $(ARGS)

lint: .venv/.synced
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright
	$(BIN)/lint-imports

format: .venv/.synced
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: .venv/.synced
	$(BIN)/python -m bench $(ARGS)

up down: .venv/.synced
	$(STACK) $@

# What is pinned stays, unless it no longer fits: `make lock ARGS=--upgrade` takes the newest.
lock: .venv/.uv
	$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --python-version 3.11 --custom-compile-command "make lock" \
		--extra local-model --extra dev $(ARGS) pyproject.toml --output-file requirements/lock.txt

# The stack is stopped first: its data goes too.
clean:
	@if [ -d .perdure ] && [ -x $(BIN)/python ]; then $(STACK) down; fi
	rm -rf .perdure .artifacts .venv .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/.synced: .venv/.uv requirements/lock.txt
	$(BIN)/uv pip sync --quiet --require-hashes requirements/lock.txt
	@touch $@

.venv/.uv: requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Perdure needs Python 3.11 or newer, and $(PYTHON) is not: try make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@
