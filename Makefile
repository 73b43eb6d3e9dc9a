# Two commands for a fresh machine: `make demo` and `make test`. Each sets up everything it needs, once.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test lint docs study-page bench wheel

# Reinstalls only when the dependencies or the packaging change.
$(STAMP): setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

demo: $(STAMP)
	$(BIN)/analog-samson demo --out runs/demo

test: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist loadgroup -m 'not slow and not gpu' --durations=25

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	$(BIN)/sphinx-build -W -b html docs docs/_build/html

study-page: $(STAMP)
	$(BIN)/python benchmarks/study/page.py

bench: $(STAMP)
	$(BIN)/python benchmarks/simulate_speed.py
	$(BIN)/python benchmarks/optimizer_step.py
	$(BIN)/python benchmarks/table.py

wheel: $(STAMP)
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
