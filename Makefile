# `make help` lists what there is. Everything installs itself into .venv; only python3 (3.11 or newer) and make are assumed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Both locks leave out the project itself, which runs from this folder.
RUN := $(VENV)/.run-$(shell cksum < requirements-run.txt | cut -d' ' -f1)
DEV := $(VENV)/.dev-$(shell cksum < requirements-dev.txt | cut -d' ' -f1)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
LOCK := $(BIN)/uv pip compile pyproject.toml --extra redis --extra otel --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet
LOCKED := $(PYTHON) -c 'import fcntl, subprocess, sys; lock = open(".install.lock", "w"); fcntl.flock(lock, fcntl.LOCK_EX); sys.exit(subprocess.call(["sh", "-ec", sys.argv[1]]))'
PEERS := $(addsuffix /.done,$(addprefix benchmarks/.venvs/,fastapi_asyncpg fastapi_psycopg2) $(patsubst %,benchmarks/peers/%/node_modules,fastify fastify_equal))
ROOT_OK := $(shell [ "$$(id -u)" = 0 ] && echo --root-user-action=ignore)

.DEFAULT_GOAL := help
.PHONY: help run test test-pgbouncer test-citus trials bench bench-check bench-report bench-statements check format lock migration clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(RUN) ## serve the API on $PORT (8000) with an embedded PostgreSQL, or on $DATABASE_URL
	@exec $(BIN)/python -m service run --development

test: $(DEV) ## run the tests on a real PostgreSQL (embedded, or $TEST_DATABASE_URL)
	@$(BIN)/python -m pytest -n auto

trials: $(DEV) ## stop, kill, hang and lock everything under load, a line of figures for each (TRIAL_MINUTES=60: an hour of churn)
	@$(BIN)/python -m pytest -m trial -q

test-pgbouncer: $(DEV) ## run the tests of API and models through a real PgBouncer in transaction mode
	@TEST_PGBOUNCER=1 $(BIN)/python -m pytest -n auto tests/api tests/models

test-citus: $(DEV) ## run the tests of API and models on a Citus cluster, given by $CITUS_URLS
	@if [ -z "$$CITUS_URLS" ]; then echo "NO TEST RAN ON CITUS: set CITUS_URLS to the URLs of a coordinator and its workers"; \
	else $(BIN)/python -m pytest -n auto tests/api tests/models; fi

bench: $(DEV) $(PEERS) ## measure Doable beside its peers: eight minutes, then the table and the picture (QUICK=1: two minutes, only a table)
	@$(BIN)/python -m benchmarks run $(if $(QUICK),--quick)

bench-report: $(DEV) ## write the table and the picture of the last `make bench`, a quick one too
	@$(BIN)/python -m benchmarks report

bench-check: $(DEV) ## fail when a request costs more instructions or WAL than recorded (RECORD=1: record them; needs valgrind)
	@$(BIN)/python -m benchmarks check $(if $(RECORD),--record)

bench-statements: $(DEV) ## print what each statement costs PostgreSQL: instructions (with valgrind), bytes of WAL, µs (on Linux)
	@$(BIN)/python -m benchmarks statements

check: $(DEV) ## format, lint, types, imports, drift between models and migrations
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -c "import asyncio, sys; from service.database.migrations import drift; sys.exit('; '.join(map(str, asyncio.run(drift()))) or 0)"

format: $(DEV) ## bring the code into form
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: $(DEV) ## write the requirements files anew from pyproject.toml
	@$(LOCK) -o requirements.txt
	@$(LOCK) --extra embedded -o requirements-run.txt
	@$(LOCK) --extra embedded --extra dev -o requirements-dev.txt

migration: $(DEV) ## make a migration from what changed in the models: make migration NAME=what_changed
	@$(BIN)/aerich migrate --offline --name "$(NAME)"

clean: ## remove the environments and what the tests left; the data in .data stays
	@rm -rf $(VENV) benchmarks/.venvs benchmarks/.results benchmarks/peers/*/node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

# Installations wait for each other at a lock, and each ends with a marker: two commands at once on a fresh clone, or one
# that was interrupted, leave no half of an environment.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Doable needs Python 3.11 or newer: make PYTHON=/path/to/python3.12"; exit 1; }
	@$(LOCKED) 'test -e $@ || { echo "doable: making the environment in $(VENV) …"; $(PYTHON) -m venv --clear $(VENV) && touch $@; }'

$(RUN): $(VENV)/.made
	@$(LOCKED) 'test -e $@ || { echo "doable: installing what the service needs (once) …"; \
		$(PIP) $(ROOT_OK) --require-hashes -r $(if $(DATABASE_URL),requirements.txt,requirements-run.txt) && touch $@; }'

$(DEV): $(VENV)/.made
	@$(LOCKED) 'test -e $@ || { echo "doable: installing what the tests need (once) …"; \
		$(PIP) $(ROOT_OK) --require-hashes -r requirements-dev.txt && rm -f $(VENV)/.dev-* && touch $@; }'

benchmarks/.venvs/%/.done: benchmarks/peers/%/requirements.txt $(VENV)/.made
	@echo "doable: installing the peer $* (once) …"
	@$(BIN)/python -m venv --clear $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-input $(ROOT_OK) --require-hashes -r $<
	@touch $@

benchmarks/peers/%/node_modules/.done: benchmarks/peers/%/package-lock.json
	@echo "doable: installing the peer $* (once) …"
	@if command -v npm > /dev/null; then cd benchmarks/peers/$* && npm ci --silent && touch node_modules/.done; \
	else echo "doable: there is no npm, so Fastify is left out"; fi
