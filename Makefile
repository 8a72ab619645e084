# Holdfast. Every target installs what it needs; see `make help`.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PY := .venv/bin/python
MEMBERS := packages/protocol packages/bundles packages/policy packages/evidence packages/lab controller agents tui
JOBS ?= 2

help: ## What can be asked of this Makefile
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

dev: .venv/.ready ## The environment, in .venv (uv and all libraries, pinned by hash)

.venv/.ready: requirements.lock requirements-demo.lock tools/dev/environment.sh $(addsuffix /pyproject.toml,$(MEMBERS))
	@bash tools/dev/environment.sh $(MEMBERS)
	@touch $@

demo: dev ## The main job on a real model: stick, two officers, answer, refusals
	@$(PY) tools/demo/run.py

test: dev ## All tests, in parallel where they are independent
	@$(PY) -m pytest -q -n $(JOBS) --dist loadgroup

check: dev ## Lint, types, import contracts, tidy
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@$(PY) -m pytest -q tests/tidy

sim: dev ## The seeded simulation of a site: make sim SEED=7 [RUNS=1]
	@$(PY) -m tests.sim --seed $(or $(SEED),1) --runs $(or $(RUNS),1)

bench: dev ## The numbers measured so far, each beside what it is compared with
	@for b in bench/*.py; do echo "== $$b"; $(PY) $$b || exit 1; done

clean: ## Remove the environment and caches (never a site)
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

.PHONY: help dev demo test check sim bench clean
