# `make help` lists the targets. They install their dependencies into .venv. Only python3 (3.11 or newer) and make are required.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The requirements files do not contain the project itself, which runs from this folder. With $DATABASE_URL, `make run` needs no
# embedded PostgreSQL. Each file has a marker of its own. The environment of the tests contains those of the service.
RUN_FILE := $(if $(strip $(value DATABASE_URL)),requirements.txt,requirements-run.txt)
RUN := $(VENV)/.$(basename $(RUN_FILE))-$(shell cksum < $(RUN_FILE) | cut -d' ' -f1)
DEV := $(VENV)/.dev-$(shell cksum < requirements-dev.txt | cut -d' ' -f1)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
LOCK := $(BIN)/uv pip compile pyproject.toml --extra redis --extra otel --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet
LOCKED := $(PYTHON) -c 'import fcntl, subprocess, sys; lock = open(".install.lock", "w"); fcntl.flock(lock, fcntl.LOCK_EX); sys.exit(subprocess.call(["sh", "-ec", sys.argv[1]]))'
PEERS := $(addsuffix /.done,$(addprefix benchmarks/.venvs/,fastapi_asyncpg fastapi_psycopg2) $(patsubst %,benchmarks/peers/%/node_modules,fastify fastify_equal))
# The tests that also run through a pooler and on a cluster; those that start processes of their own need a plain PostgreSQL.
ANY_DATABASE := $(addprefix tests/,auth idempotency lists sync tasks transfer users web database/test_distributable.py database/test_placement.py \
	database/test_scoping.py operations/test_documentation.py operations/test_health.py operations/test_metrics.py) \
	$(addprefix --ignore=tests/,auth/test_rotation.py idempotency/test_retries.py sync/test_event_streams.py transfer/test_transfers.py \
	web/test_resources.py)
ROOT_OK := $(shell [ "$$(id -u)" = 0 ] && echo --root-user-action=ignore)

.DEFAULT_GOAL := help
.PHONY: help run example test test-pgbouncer test-citus trials bench bench-check bench-report bench-statements check format lock migration client-types clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(or $(wildcard $(DEV)),$(RUN)) ## serve the API on $PORT (8000) with an embedded PostgreSQL, or with $DATABASE_URL
	@exec $(BIN)/python -m service run --development

example: examples/nextjs/node_modules/.done ## serve the Next.js example on port 3000, beside BETTER_AUTH_URL=http://localhost:3000 make run (needs npm)
	@cd examples/nextjs && exec npm run --silent dev

test: $(DEV) ## run the tests on a real PostgreSQL (embedded, or $TEST_DATABASE_URL)
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto

trials: $(DEV) ## test failures under load: stop, kill, suspend and lock the database and the service (TRIAL_MINUTES=60: an hour of churn)
	@$(BIN)/python -m pytest -m "trial or steps" -q

test-pgbouncer: $(DEV) ## run the API and model tests through a real PgBouncer in transaction mode
	@TEST_PGBOUNCER=1 $(BIN)/python -m pytest -n auto $(ANY_DATABASE)

test-citus: $(DEV) ## run the API and model tests on the Citus cluster in $CITUS_URLS
	@if [ -z "$$CITUS_URLS" ]; then echo "NO TEST RAN ON CITUS: set CITUS_URLS to the URLs of a coordinator and its workers, separated by commas"; \
	else $(BIN)/python -m pytest -n auto $(ANY_DATABASE); fi

bench: $(DEV) $(PEERS) ## compare Doable's speed with its peers and write the tables and the chart: eight minutes (QUICK=1: two minutes, prints a table)
	@$(BIN)/python -m benchmarks run $(if $(QUICK),--quick)

bench-report: $(DEV) ## write the tables and the chart of the last `make bench`, even a quick one
	@$(BIN)/python -m benchmarks report

bench-check: $(DEV) ## fail if a request costs more instructions or WAL than recorded (RECORD=1: record them; needs valgrind)
	@$(BIN)/python -m benchmarks check $(if $(RECORD),--record)

bench-statements: $(DEV) ## print each statement's cost in PostgreSQL: instructions (with valgrind), bytes of WAL, µs (on Linux)
	@$(BIN)/python -m benchmarks statements

# Every check runs, even if an earlier one fails.
check: $(DEV) ## check format, lint, types, imports, and drift of migrations and of the client's types
	@failed=; step() { "$$@" || failed=1; }; \
	step $(BIN)/ruff format --check .; \
	step $(BIN)/ruff check .; \
	step $(BIN)/mypy; \
	step $(BIN)/lint-imports; \
	step $(BIN)/python -c "import asyncio, sys; from service.database.migrations import drift; sys.exit('; '.join(map(str, asyncio.run(drift()))) or 0)"; \
	step $(BIN)/python -m clients.document --check; \
	step $(BIN)/python -m pytest -m types -q tests/clients; \
	test -z "$$failed"

format: $(DEV) ## format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: $(DEV) ## regenerate the requirements files from pyproject.toml
	@$(LOCK) -o requirements.txt
	@$(LOCK) --extra embedded -o requirements-run.txt
	@$(LOCK) --extra embedded --extra dev -o requirements-dev.txt

migration: $(DEV) ## create a migration from changed models: make migration NAME=what_changed
	@$(BIN)/aerich migrate --offline --name "$(NAME)"

client-types: $(DEV) ## regenerate the types of the TypeScript client from the OpenAPI document (needs npm)
	@npm --prefix clients/typescript ci --silent
	@$(BIN)/python -m clients.document | npm --prefix clients/typescript run --silent types

clean: ## remove the environments and the caches of the tests; keep the data in .data
	@rm -rf $(VENV) benchmarks/.venvs benchmarks/.results benchmarks/peers/*/node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

# Installations hold a lock, and create a marker file when they are complete. Two concurrent commands on a fresh clone, or an
# interrupted command, therefore leave no incomplete environment in use.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Doable needs Python 3.11 or newer: make PYTHON=/path/to/python3.12"; exit 1; }
	@$(LOCKED) 'test -e $@ || { echo "doable: making the environment in $(VENV) …"; $(PYTHON) -m venv --clear $(VENV) && touch $@; }'

$(RUN): $(VENV)/.made
	@$(LOCKED) 'test -e $@ || { echo "doable: installing the dependencies of the service (once) …"; \
		$(PIP) $(ROOT_OK) --require-hashes -r $(RUN_FILE) && touch $@; }'

$(DEV): $(VENV)/.made
	@$(LOCKED) 'test -e $@ || { echo "doable: installing the dependencies of the tests (once) …"; \
		$(PIP) $(ROOT_OK) --require-hashes -r requirements-dev.txt && rm -f $(VENV)/.dev-* && touch $@; }'

examples/nextjs/node_modules/.done: examples/nextjs/package-lock.json
	@command -v npm > /dev/null || { echo "doable: the example needs Node.js 20.11 or newer, with npm"; exit 1; }
	@echo "doable: installing the example (once) …"
	@cd examples/nextjs && npm ci --no-audit --no-fund --loglevel=error && touch node_modules/.done

benchmarks/.venvs/%/.done: benchmarks/peers/%/requirements.txt $(VENV)/.made
	@echo "doable: installing the peer $* (once) …"
	@$(BIN)/python -m venv --clear $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-input $(ROOT_OK) --require-hashes -r $<
	@touch $@

benchmarks/peers/%/node_modules/.done: benchmarks/peers/%/package-lock.json
	@echo "doable: installing the peer $* (once) …"
	@if command -v npm > /dev/null; then cd benchmarks/peers/$* && npm ci --silent && touch node_modules/.done; \
	else echo "doable: npm is not installed, so Fastify is left out"; fi
