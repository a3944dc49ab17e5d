# Everything a newcomer needs: `make demo` and `make test` set up all that is missing.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
DATA   ?= data
TEST_PROCESSES ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo run test bench check compose-check lock clean servers browser

help: ## Say what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

demo: $(VENV)/.embedded servers ## Set up, start everything, send the samples through, show the results
	@$(BIN)/photo-pipeline demo samples --data $(DATA)

run: $(VENV)/.embedded servers ## The same, and keep serving on http://localhost:8000
	@$(BIN)/photo-pipeline demo samples --data $(DATA) --keep-serving

test: $(VENV)/.dev servers browser check ## Set up, then linters, types, layers and the whole test suite
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

# A file's tests share servers, so files stay whole, and begin in the order of the folders.
SIDE_BY_SIDE := --numprocesses=$(TEST_PROCESSES) --dist=loadfile --no-loadscope-reorder

bench: $(VENV)/.bench servers ## Measure the stages against plain Pillow and libvips, the system against its floor
	@mkdir -p $(DATA)
	$(BIN)/python tests/bench/stages.py --json $(DATA)/bench-stages.json
	$(BIN)/python tests/bench/system.py --json $(DATA)/bench-system.json

check: $(VENV)/.dev ## Linters, types and layers only
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

compose-check: $(VENV)/.dev ## With docker: run compose.yml, load it, kill parts of it, clean up
	$(BIN)/python -m pytest tests/containers --timeout=1800 -s

lock: $(VENV)/.dev ## Renew the hash locks after a change of pyproject.toml
	$(COMPILE) pyproject.toml --extra detect -o requirements.lock
	$(COMPILE) pyproject.toml --extra detect --extra embedded -o requirements-embedded.lock
	$(COMPILE) pyproject.toml --extra detect --extra embedded --extra dev -o requirements-dev.lock
	$(COMPILE) pyproject.toml --extra detect --extra embedded --extra bench -o requirements-bench.lock
	echo hatchling | $(COMPILE) - -c requirements-dev.lock -o deploy/container/build.lock

COMPILE := $(BIN)/uv pip compile -q --universal --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links

# -- set-up --------------------------------------------------------------------------------

# The package itself needs its build backend, which comes hash-checked with the dev lock; a demo
# runs from the source tree through a .pth file and needs none.
$(VENV)/.python:
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.embedded: $(VENV)/.python requirements-embedded.lock pyproject.toml
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-embedded.lock
	$(BIN)/python -m pip install --quiet --no-deps -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.python requirements-dev.lock pyproject.toml
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.embedded

$(VENV)/.bench: $(VENV)/.embedded requirements-bench.lock
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-bench.lock
	@touch $@

servers: ## Install the RabbitMQ server where it is missing (Debian)
	@sh .ci/install-package rabbitmq-server /usr/lib/rabbitmq/bin/rabbitmq-server rabbitmq-server

browser: ## Install browser, curl and exiftool for the tests where they are missing (Debian)
	@sh .ci/install-package curl /usr/bin/curl curl
	@sh .ci/install-package chromium /usr/bin/chromium chromium
	@sh .ci/install-package libimage-exiftool-perl /usr/bin/exiftool exiftool

clean: ## Remove the virtual environment and the data of demos
	rm -rf $(VENV) $(DATA) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
