# `make help` lists what there is. ARGS is handed on: make demo ARGS="--trials 20 --seed 1234"
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
ARGS ?=

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[1mmake %-8s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Create .venv with the package, ROS 2 and the tools (quick when nothing changed)
	@PYTHON="$(PYTHON)" scripts/setup.sh

.PHONY: setup-test
setup-test:
	@PYTHON="$(PYTHON)" scripts/setup.sh test

.PHONY: demo
demo: setup ## Pick and place in the twin through the whole ROS 2 graph; writes runs/<time>/report.html
	@.venv/bin/vla3d demo $(ARGS)

.PHONY: test
test: setup-test ## Check style and types, then run every test that this machine can run
	@scripts/test.sh $(ARGS)

.PHONY: lint
lint: setup-test ## Check style and types only
	@scripts/lint.sh

.PHONY: format
format: setup-test ## Rewrite the code in the project's style
	@.venv/bin/ruff check --fix --quiet . || true
	@.venv/bin/ruff format .

.PHONY: bench
bench: setup ## Measure what the ROS transport does to camera images
	@.venv/bin/vla3d bench transport $(ARGS)

.PHONY: clean
clean: ## Remove .venv and everything that was generated, except runs/
	@rm -rf .venv .setup.lock build install log *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -path ./.git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
