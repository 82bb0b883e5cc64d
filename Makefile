# Every target sets up what it needs: a virtual environment with exactly what requirements/lock.txt names.
PYTHON ?= python3
BIN := .venv/bin
STACK := $(BIN)/python starter.py
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
# Semantic Kernel needs another `mcp` than Perdure, so its functions are tested in an environment of their own.
SEMANTIC_KERNEL := semantic-kernel asyncpg grpcio grpcio-health-checking grpcio-reflection httpx2 jsonschema pgvector protobuf psutil \
	pydantic-settings pytest pytest-asyncio pytest-timeout rfc8785 structlog temporalio[pydantic]

.PHONY: demo test test-semantic-kernel lint format bench chaos kills up down lock lock-semantic-kernel clean proto browser
.DELETE_ON_ERROR:

demo: .venv/.synced
	$(STACK) demo $(if $(YES),--yes)

# Each test process has servers of its own, so as many run as there are cores; `make test ARGS="-n 0 …"` runs in one.
test: .venv/.synced
	@$(BIN)/python -m devstack.temporal_program
	$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

# The console's tests want a browser; without one they are skipped.
browser:
	@command -v chromium >/dev/null || { $(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends chromium; }

test-semantic-kernel: .venv-sk/.synced
	.venv-sk/bin/python -m pytest --noconftest -o filterwarnings= tests/semantic_kernel/functions.py $(ARGS)

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

chaos: .venv/.synced
	$(BIN)/python -m tests.chaos $(ARGS)

# Writers of memory are killed a thousand times; a storm of edits goes over shared documents.
kills: .venv/.synced
	$(BIN)/python -m tests.integration.memory.kills --kills 1000
	$(BIN)/python -m tests.integration.memory.shared_storm --edits 10000

up down: .venv/.synced
	$(STACK) $@

# The code of the gRPC contract: Python's here, and Go's for the executor that the tests serve, where there is a Go toolchain.
PROTO := tools/proto/tool_executor.proto
GO := tests/executors/go
proto: .venv/.synced
	$(BIN)/python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. --grpc_python_out=. $(PROTO)
	@command -v go >/dev/null || { echo "there is no go on PATH: $(GO)/toolsv1 stays as it is"; exit 0; }; \
		$(BIN)/python -m grpc_tools.protoc -I . $(PROTO) \
		--plugin=protoc-gen-go=$$(cd $(GO) && go tool -n protoc-gen-go) --plugin=protoc-gen-go-grpc=$$(cd $(GO) && go tool -n protoc-gen-go-grpc) \
		--go_out=$(GO) --go_opt=M$(PROTO)=./toolsv1 --go-grpc_out=$(GO) --go-grpc_opt=M$(PROTO)=./toolsv1

# What is pinned stays, unless it no longer fits: `make lock ARGS=--upgrade` takes the newest.
lock: .venv/.uv
	$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --python-version 3.11 --custom-compile-command "make lock" \
		--extra local-model --extra dev $(ARGS) pyproject.toml --output-file requirements/lock.txt

lock-semantic-kernel: .venv/.uv
	printf '%s\n' $(SEMANTIC_KERNEL) | $(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --python-version 3.11 \
		--custom-compile-command "make lock-semantic-kernel" $(ARGS) - --output-file requirements/semantic-kernel.txt

# The stack is stopped first: its data goes too.
clean:
	@if [ -d .perdure ] && [ -x $(BIN)/python ]; then $(STACK) down; fi
	rm -rf .perdure .artifacts .venv .venv-sk .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/.synced: .venv/.uv requirements/lock.txt
	$(BIN)/uv pip sync --quiet --require-hashes requirements/lock.txt
	@touch $@

.venv-sk/.synced: .venv/.uv requirements/semantic-kernel.txt
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-sk
	$(BIN)/uv pip sync --quiet --require-hashes --python .venv-sk/bin/python requirements/semantic-kernel.txt
	@touch $@

.venv/.uv: requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Perdure needs Python 3.11 or newer, and $(PYTHON) is not: try make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@
