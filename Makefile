# Every target sets up .venv by itself; a fresh machine needs Python 3.11 or newer and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt
export MLFLOW_DISABLE_TELEMETRY := true
export BENTOML_DO_NOT_TRACK := True

.PHONY: help demo test test-long lint format bench clean

help:
	@echo "make demo       grade a handful of batteries over HTTP and verify the record"
	@echo "make test       lint, types, import contracts and tests (under 10 minutes)"
	@echo "make test-long  the tests too slow for every change"
	@echo "make lint       ruff, mypy and import contracts only"
	@echo "make bench      print the figures of README.md (needs PACKGRADE_DATA_DIR)"

$(VENV)/.base: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[training,dev]'
	@touch $@ $(VENV)/.base

demo: $(VENV)/.base
	@$(BIN)/packgrade demo --once

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest -n 2 -m "not long"

test-long: $(VENV)/.dev
	$(BIN)/python -m pytest -m long
	$(BIN)/python -m benchmarks.record_survival

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.accuracy
	$(BIN)/python -m benchmarks.serving_latency --folder .
	$(BIN)/python -m benchmarks.two_trains
	$(BIN)/python -m benchmarks.partial_charge
	$(BIN)/python -m benchmarks.impedance
	$(BIN)/python -m benchmarks.onboarding
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.decision_cost
	$(BIN)/python -m benchmarks.telemetry_speed
	$(BIN)/python -m benchmarks.field_sessions
	$(BIN)/python -m benchmarks.record_throughput
	$(BIN)/python -m benchmarks.record_throughput_postgres
	$(BIN)/python -m benchmarks.archive_speed
	bash benchmarks/install_size.sh

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
