# Two commands do everything on a fresh machine with Python >= 3.11 and make:
#   make demo   sets up an environment and runs the main job
#   make test   sets up an environment and runs the whole test suite

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt

.PHONY: demo test lint clean

demo: .venv/installed
	$(BIN)/spikeram demo --output demo-output

test: .venv/tested
	$(BIN)/python -m pytest

lint: .venv/linted
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.venv/python:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	touch $@

.venv/installed: .venv/python pyproject.toml constraints.txt
	$(PIP) --editable .
	touch $@

.venv/tested: .venv/installed
	$(PIP) --group test
	touch $@

.venv/linted: .venv/installed
	$(PIP) --group lint
	touch $@

clean:
	rm -rf .venv build *.egg-info demo-output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
