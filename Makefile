# make demo   sets everything up and runs the main job on embedded defaults (ARGS=--once ends by itself)
# make test   sets everything up and runs the whole test suite (ARGS="-k name" chooses)
# make check  linters, types and import contracts
# make bench  every benchmark;  make soak  the crash and race tests, many rounds
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
export PATH := $(abspath $(BIN)):$(PATH)

.PHONY: demo test check bench soak clean

$(VENV)/.installed: setup.py requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.txt -e '.[demo,test]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/mlflow-gitops demo $(ARGS)

test: $(VENV)/.installed
	$(BIN)/pytest -n 2 --dist loadgroup $(ARGS)

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed
	for script in benchmarks/[!_]*.py; do $(BIN)/python $$script $(ARGS) || exit 1; done

soak: $(VENV)/.installed
	MLFLOW_GITOPS_SOAK=1 $(BIN)/pytest -n 0 -k "crash or race or parallel" $(ARGS)

clean:
	rm -rf $(VENV) .demo build dist *.egg-info
