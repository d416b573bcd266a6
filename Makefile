# make quickstart   sets this checkout up and runs the bundled job `quickstart` on two real peons
# make setup        only sets it up: system packages (as root), .venv, the peons' root filesystem
# make test         everything that CI runs      make lint   the static part of it     make bench   the figures
# make clean        removes what these made in the checkout, and the test results
SHELL := /bin/bash
BIN := .venv/bin
PACKAGES := exekutir kommandir narval_engine
export PYTHON

.PHONY: quickstart setup setup-tests test lint format bench wheel clean
.DEFAULT_GOAL := quickstart

quickstart: setup
	$(BIN)/exekutir all --workspace quickstart_workspace --job quickstart

setup:
	@packaging/setup

setup-tests:
	@packaging/setup --tests

test: setup-tests
	@packaging/check lint tests bench

lint: setup-tests
	@packaging/check lint

format: setup-tests
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup-tests
	@packaging/check bench

wheel: setup-tests
	$(BIN)/python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist .

clean:
	@[[ ! -d quickstart_workspace || ! -x $(BIN)/exekutir ]] || $(BIN)/exekutir cleanup --workspace quickstart_workspace
	rm -rf quickstart_workspace .venv .setup-logs .test-results dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis .ansible
