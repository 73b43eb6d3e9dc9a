# Two commands for a fresh machine: `make demo` and `make test`. Each sets up everything it needs, once.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LATEST := .venv-latest
RELEASE := .venv-release
# Bytes that an archive of analog-samson may have; weights beyond two networks belong in ./zoo.
LARGEST := 4000000
PYTEST := python -m pytest -n auto --dist loadgroup -m 'not slow and not gpu' --durations=25
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-latest test-faults fuzz lint docs study-page bench wheel release-check

# Reinstalls only when the dependencies or the packaging change. Here with the versions that the compiled tile needs.
$(STAMP): setup.cfg pyproject.toml zoo/pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]' --editable ./zoo
	touch $@

$(LATEST)/.installed: setup.cfg pyproject.toml zoo/pyproject.toml
	test -x $(LATEST)/bin/python || $(PYTHON) -m venv $(LATEST)
	$(LATEST)/bin/python -m pip install --quiet --editable '.[test]' --editable ./zoo
	touch $@

demo: $(STAMP)
	$(BIN)/analog-samson demo --out runs/demo

test: $(STAMP)
	$(BIN)/$(PYTEST)

# The same with the newest torch that the package index has; tests of the compiled tile are skipped where it fails.
test-latest: $(LATEST)/.installed
	$(LATEST)/bin/python -m pip install --quiet --upgrade torch torchvision
	$(LATEST)/bin/analog-samson doctor
	$(LATEST)/bin/analog-samson demo --out runs/demo-latest
	$(LATEST)/bin/$(PYTEST)

# Kills, SIGTERM, full and read-only disks, two drivers: no result may be lost or differ.
test-faults: $(STAMP)
	cd tests && OMP_NUM_THREADS=1 ../$(BIN)/python -m faults

# Over 100,000 hostile files and options: each is read or refused.
fuzz: $(STAMP)
	cd tests && OMP_NUM_THREADS=1 ../$(BIN)/python -m fuzz

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/sphinx-build -W -b html docs docs/_build/html

study-page: $(STAMP)
	$(BIN)/python benchmarks/study/page.py
	$(BIN)/python benchmarks/study/beyond_page.py

bench: $(STAMP)
	$(BIN)/python benchmarks/simulate_speed.py
	$(BIN)/python benchmarks/optimizer_step.py
	$(BIN)/python benchmarks/table.py

wheel: $(STAMP)
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist . ./zoo

# What a release has to pass: archives of both packages, their metadata and sizes, and the wheels in an environment with
# nothing else: first analog-samson alone, then the zoo beside it.
release-check: $(STAMP)
	rm -rf build dist zoo/build $(RELEASE)
	$(BIN)/python -m pip install --quiet build twine
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m build --outdir dist zoo
	$(BIN)/python -m twine check --strict dist/*
	ls -l dist
	test -z "$$(find dist -name 'analog?samson-*' -size +$(LARGEST)c)"
	$(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/bin/python -m pip install --quiet --constraint constraints.txt dist/analog_samson-*.whl
	cd $(RELEASE) && bin/analog-samson doctor && bin/analog-samson presets list && bin/analog-samson demo --out demo
	cd $(RELEASE) && bin/analog-samson zoo list | grep -c ' yes$$' | grep -qx 2
	$(RELEASE)/bin/python -m pip install --quiet --no-deps dist/analog_samson_zoo-*.whl
	cd $(RELEASE) && ! bin/analog-samson zoo list | grep ' no$$'
	rm -rf $(RELEASE)
