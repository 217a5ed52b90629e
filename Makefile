# Every target is safe to repeat. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types unit unit-newest acceptance test-long soak clients attacks failures bench \
	screens search schema docs lock clean
# Hundreds of processes start from these files: without bytecode each compiles them all again.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest -q
MINUTES ?= 120
# Run a command and say how long it took.
timed = @start=$$(date +%s); $(1); code=$$?; echo "$@: $$(($$(date +%s) - start)) s"; exit $$code
LOCK := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes \
	--allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host

# For the Python of the Space's image as well as for ours.
LOCK_KIT := ../../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-strip-extras --no-annotate --no-emit-index-url --custom-compile-command "make lock"

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

NEWEST := for minor in 20 19 18 17 16 15 14 13 12 11; do \
		for found in "$$(command -v python3.$$minor)" "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.$$minor.*/bin/python3; do \
			if "$$found" -c 'import venv, ensurepip' 2>/dev/null; then break 2; fi; \
		done; \
		found=""; \
	done
VERSION := -c 'import sys; print("%d.%d" % sys.version_info[:2])'

ifdef PYTHON
# A Python that is named is the one that is used, also where .venv was made with another one.
ifneq ($(shell $(PYTHON) $(VERSION)),$(shell $(BIN)/python $(VERSION) 2>/dev/null))
$(shell rm -f $(READY))
endif
endif

setup: $(READY) ## make .venv with everything in it, pinned and checked by hash; PYTHON=/path chooses
	@echo "setup: $(VENV) is ready, with Python $$($(BIN)/python $(VERSION))"

$(READY): requirements-dev.txt pyproject.toml
	@echo "setup: installing the pinned packages into $(VENV)"
	@rm -f $@; \
	fits='import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'; \
	if [ -n "$(PYTHON)" ] && ! "$(PYTHON)" -c "$$fits" 2>/dev/null; then \
		echo "setup: $(PYTHON) is no Python 3.11 or newer with its venv module."; \
		exit 1; \
	fi; \
	version() { "$$1" $(VERSION) 2>/dev/null; }; \
	if ! $(BIN)/python -c "$$fits" 2>/dev/null || \
		{ [ -n "$(PYTHON)" ] && [ "$$(version "$(PYTHON)")" != "$$(version $(BIN)/python)" ]; }; then \
		for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
			if "$$python" -c "$$fits" 2>/dev/null; then found="$$python"; break; fi; \
		done; \
		if [ -z "$$found" ]; then \
			echo "setup: no Python 3.11 or newer with its venv module was found."; \
			echo "Install one (on Debian: python3 and python3-venv), or name it: make setup PYTHON=/path/to/python"; \
			exit 1; \
		fi; \
		"$$found" -m venv --clear $(VENV) || exit 1; \
	fi
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY) ## run a real task on a real MCP server and show every step
	@$(BIN)/metamcp demo

test: $(READY) ## lint, types and all tests but the long ones
	@$(MAKE) --no-print-directory -j 2 lint types unit
	@$(MAKE) --no-print-directory acceptance

lint: $(READY) ## ruff, and tsc over the console's modules
	$(call timed,$(BIN)/ruff check --quiet --output-format=concise . && $(BIN)/python -m tests.support.typescript)

types: $(READY) ## mypy --strict over contracts and services
	$(call timed,$(BIN)/mypy --no-error-summary)

unit: $(READY) ## the tests that start no services, four at a time: they wait more than they compute
	$(call timed,$(PYTEST) -n 4 --dist worksteal -m "not acceptance and not long")

unit-newest: $(READY) ## the same with the newest Python of this machine, in .venv-newest
	@$(NEWEST); \
	if [ -z "$$found" ] || [ "$$("$$found" $(VERSION))" = "$$($(BIN)/python $(VERSION))" ]; then \
		echo "unit-newest: skipped, .venv has the newest Python found here ($$($(BIN)/python $(VERSION)))"; \
	else \
		echo "unit-newest: Python $$("$$found" $(VERSION))"; \
		$(MAKE) --no-print-directory VENV=.venv-newest PYTHON="$$found" unit; \
	fi

acceptance: $(READY) ## the tests that start the real services, three files at a time: they wait too
	$(call timed,$(PYTEST) -n 3 --dist loadfile -m "acceptance and not long")

test-long: $(READY) ## what is long by its nature, two files at a time: chaos, crashes, big data, clients of others
	$(call timed,$(PYTEST) -n 2 --dist loadfile -m long)

soak: $(READY) ## chaos for MINUTES=120 on one orchestrator, checked every five minutes
	@$(BIN)/python -m tests.soak --minutes $(MINUTES)

clients: $(READY) ## try more clients of others, older and newer, and write the table of docs/mcp.md
	@WRITE_DOCS=1 FOREIGN_CLIENTS=all $(PYTEST) tests/acceptance/test_foreign_mcp.py \
		tests/acceptance/test_foreign_clients.py tests/acceptance/test_foreign_oauth.py

attacks: $(READY) ## hostile hosts, users and publishers, each at its worst: a quarter of an hour
	@ATTACKS=all $(PYTEST) tests/acceptance/test_attacks.py tests/acceptance/test_hostile_hosts.py

failures: $(READY) ## try disks, views, clocks and hosts that fail; writes the table of docs/reliability.md
	@$(BIN)/python -m tests.failures

screens: $(READY) ## write every page of the console, light and dark, wide and narrow, into build/screens
	@$(BIN)/python -m tests.screens

search: $(READY) ## look for examples that break a property, other ones each time: `make test` has the same ones
	$(call timed,$(PYTEST) -n 2 -m "hypothesis and not long" --timeout=600 --hypothesis-profile=search --hypothesis-seed=random)

bench: $(READY) ## measure throughput, latency, hosts, streams, replay, users apart and many users
	@$(BIN)/python -m tests.bench

schema: $(READY) ## write contracts/schema.json, docs/asyncapi.json and the manifest schemas
	@$(BIN)/python -m contracts.schema
	@$(BIN)/python -m contracts.asyncapi
	@$(BIN)/python -m services.registry.manifests.schema

docs: $(READY) ## write docs/settings.md
	@$(BIN)/python -m services.cli.settings_page

lock: $(READY) ## resolve pyproject.toml into the two requirements files, and those of the Space kit
	@$(LOCK) --output-file=requirements.txt pyproject.toml
	@$(LOCK) --extra=dev --constraint=requirements.txt --output-file=requirements-dev.txt pyproject.toml
	@cd deploy/space && $(LOCK_KIT) --constraint=../../requirements-dev.txt \
		--output-file=requirements.txt requirements.in
	@cd deploy/space && $(LOCK_KIT) --output-file=server-requirements.txt server-requirements.in \
		--constraint=../../services/registry/builtin/constraints/tree-sitter.txt

clean: ## remove what the targets above made (not the data folder)
	@rm -rf .venv .venv-newest build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find contracts services tests -name __pycache__ -type d -prune -exec rm -rf {} +
