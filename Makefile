# The words of the project; CI calls the same ones.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup schemas format check test ship test-all demo bench clean

help:  ## Say what each word does
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(INSTALLED)  ## Make .venv with everything that developing takes

$(INSTALLED): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 setup")'
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[train,s3,automl,ray,deploy,openvino,gallery,tracking,mcp,demo,dev]'
	touch $(INSTALLED)

schemas: setup  ## Write schemas, templates, tables and reference pages from the dataclasses
	$(BIN)/python tools/generate.py

format: setup  ## Format the code
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

check: setup  ## Lint, types, import rules, generated files, skills
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/generate.py --check
	$(BIN)/python tools/check_skills.py

test: setup  ## Run the tests that take minutes, not more
	$(BIN)/pytest -m 'not long' -n auto

ship: setup  ## Try the built wheel in an empty environment, and the quick demo
	$(BIN)/pytest -n auto -m long tests/shipped tests/tools/test_demo.py

test-all: setup  ## Run all tests, the long ones too
	$(BIN)/pytest -n auto

demo: setup  ## Train, evaluate and recognise on data made on the spot; ends with a table
	$(BIN)/python -m tools.demo

bench: setup  ## Measure how cost grows with size; writes references/benchmarks.md and its plot
	$(BIN)/python -m tools.bench.growth

clean:  ## Remove what was built, not the results
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
