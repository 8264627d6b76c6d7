# Every target sets up what it needs: a virtual environment in .venv, from the hash-pinned locks.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV ?= uv
PYTEST_ARGS ?=
# Percent of lines and branches that `make unit` runs; a bit below what it is.
COVERAGE_FLOOR := 70
# Two workers, each with the whole of a file and a broker of its own.
PYTEST_WORKERS ?= -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo unit cover test test-all lint bench soak simulate servers lock clean

demo: $(VENV)/installed
	$(BIN)/leewayd demo $(DEMO_ARGS)

# What needs neither servers, nor a process of its own, nor seconds for one test: under two minutes on two cores.
unit: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m "not (kafka or prometheus or process or pipeline or long or slow)" $(PYTEST_WORKERS) $(PYTEST_ARGS)

# The same, and the share of lines and branches that it runs.
cover: $(VENV)/installed-dev
	COVERAGE_CORE=ctrace $(MAKE) unit PYTEST_ARGS="--cov --cov-report=term --cov-fail-under=$(COVERAGE_FLOOR) $(PYTEST_ARGS)"

test: $(VENV)/installed-dev servers
	$(BIN)/python -m pytest $(PYTEST_WORKERS) $(PYTEST_ARGS)

test-all: $(VENV)/installed-dev servers
	$(BIN)/python -m pytest --slow $(PYTEST_WORKERS) $(PYTEST_ARGS)

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/installed-dev servers
	$(BIN)/python -m benchmarks.run

# An hour (SOAK_MINUTES=60) of mixed traffic through Apache Kafka: nothing may grow, no row be lost.
soak: $(VENV)/installed-dev servers
	$(BIN)/python -m benchmarks.soak

# The numbers in docs/statistics.md.
simulate: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.simulate

# Apache Kafka and Prometheus for the tests: installed where that may be done, else the tests say what is missing.
servers:
	sh tests/servers/install.sh

lock:
	$(UV) pip compile -q --universal --generate-hashes --python-version 3.11 --no-header pyproject.toml -o requirements.lock
	$(UV) pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --group dev -c requirements.lock pyproject.toml -o requirements-dev.lock

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python requirements.lock pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	touch $@

clean:
	rm -rf $(VENV) .servers .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
