# Every command of the project; `make` alone lists them. GNU make 3.81 (macOS) is enough.
# The packages live in .venv, exactly as locked; PYTHON=python3.12 asks for one Python.

BIN := .venv/bin
ARGS :=
UPGRADE :=
RUNS := 25000
SEEDS := 1 2 3 4

# pip settings for user installs would break an install into .venv.
INSTALL := PIP_USER=false $(BIN)/python -m pip install --require-hashes --disable-pip-version-check -q

# A .venv that is missing, broken, moved or of another Python is made anew before it is filled.
ifneq ($(shell PYTHON='$(PYTHON)' sh scripts/bootstrap state),ok)
VENV := venv
endif

.PHONY: help demo run test test-clients check lint format lock fuzz bench clean venv

help: ## list these commands
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: .venv/.dev-stamp ## try the gateway with the official client against an emulated Kimi
	$(BIN)/python scripts/demo.py

run: .venv/.run-stamp ## serve on PORT (8000)
	exec $(BIN)/gunicorn -c gunicorn.conf.py wsgi:app

test: .venv/.dev-stamp .venv/.clients-stamp .venv/.node-stamp ## run all tests (ARGS="-k sse -x" goes to pytest)
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m "not alone" $(ARGS) || test $$? = 5 # 5: ARGS chose none of these
	$(BIN)/python -m pytest -m alone -o testpaths=tests/e2e $(ARGS) || test $$? = 5

test-clients: .venv/.dev-stamp .venv/.agents-stamp ## have Claude Code, Codex, gemini-cli and aider do a task (installs them, about 1.5 GB)
	$(BIN)/python -m pytest tests/agents $(ARGS)

check: lint ## lint, then run the tests that need no server
	$(BIN)/python -m pytest -n auto -m "not e2e" -q $(ARGS)

lint: .venv/.dev-stamp ## ruff, its formatter, mypy
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

format: .venv/.dev-stamp ## rewrite the sources as the formatter wants them
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

lock: .venv/.dev-stamp ## write the locks from requirements*.in (UPGRADE=1 takes the newest)
	sh scripts/lock.sh $(if $(UPGRADE),--upgrade)

fuzz: .venv/.dev-stamp ## mutate answers with tool calls for long (RUNS=25000 for each of SEEDS="1 2 3 4")
	$(BIN)/python -m tests.toolcalls.fuzz --runs $(RUNS) $(foreach seed,$(SEEDS),--seed $(seed))

bench: .venv/.dev-stamp ## measure how fast tool calls are read
	$(BIN)/python -m benchmarks.toolcalls

clean: ## remove .venv and the caches; the state in instance/ stays
	rm -rf .venv tests/*/node/node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name .git -prune -o -type d -name __pycache__ -prune -exec rm -rf {} +

venv:
	@sh scripts/bootstrap

.venv/.run-stamp: requirements.txt $(VENV)
	@echo "Installing the locked packages into .venv"
	@$(INSTALL) -r requirements.txt
	@touch $@

.venv/.dev-stamp: requirements.txt requirements-dev.txt $(VENV)
	@echo "Installing the locked packages into .venv, with those for development"
	@$(INSTALL) -r requirements.txt -r requirements-dev.txt
	@touch .venv/.run-stamp $@

# Client frameworks ask for other versions of the same packages: they have environments of their own.
.venv/.clients-stamp: requirements-clients.txt requirements-instructor.txt $(VENV)
	@echo "Installing the locked client frameworks into .venv/clients and .venv/instructor"
	@set -e; for name in clients instructor; do \
		rm -rf .venv/$$name; \
		$(BIN)/python -m venv .venv/$$name; \
		PIP_USER=false .venv/$$name/bin/python -m pip install --require-hashes --disable-pip-version-check -q \
			--no-compile -r requirements-$$name.txt; \
	done
	@touch $@

# npm looks for packages beside the programs that use them.
.venv/.node-stamp: tests/clients/node/package-lock.json $(VENV)
	@if command -v npm >/dev/null; then \
		echo "Installing the locked node packages into tests/clients/node"; \
		npm ci --prefix tests/clients/node --no-audit --no-fund --loglevel=error && touch $@; \
	else \
		echo "There is no npm here: the tests of the SDKs for node are skipped"; test -z "$(CI)"; \
	fi

# npm's scripts stay off, but one is needed: it puts Claude Code's program in its place. aider wants a Python before 3.13.
.venv/.agents-stamp: tests/agents/node/package-lock.json tests/agents/requirements-aider.txt $(VENV)
	@command -v npm >/dev/null || { echo "make test-clients needs node (20 or newer) and npm"; exit 1; }
	@echo "Installing the locked coding agents into tests/agents/node and .venv/aider"
	@npm ci --prefix tests/agents/node --no-audit --no-fund --loglevel=error
	@node tests/agents/node/node_modules/@anthropic-ai/claude-code/install.cjs
	@rm -rf .venv/aider
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info >= (3, 13))'; then \
		$(BIN)/python -m venv .venv/aider && \
		PIP_USER=false .venv/aider/bin/python -m pip install --require-hashes --disable-pip-version-check -q \
			--no-compile -r tests/agents/requirements-aider.txt; \
	else \
		echo "aider does not run on this Python: its tests are skipped (PYTHON=python3.12 takes another)"; \
	fi
	@touch $@
