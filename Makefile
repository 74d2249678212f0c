# make demo   sets everything up and runs the main job on embedded defaults (ARGS=--once ends by itself)
# make test   sets everything up and runs the whole test suite (ARGS="-k name" chooses)
# make install  only what the tests need (-j2: both environments at once)
# make check  linters, types and import contracts
# make bench  every benchmark;  make soak  the crash, race and property tests, many rounds
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
OLD := .venv-old
ARGS ?=
export PATH := $(abspath $(BIN)):$(PATH)

.PHONY: install demo test check bench soak clean

$(VENV)/.installed: setup.py requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.txt -e '.[demo,test,github,gitlab,signing]'
	touch $@

# Not compiled: few of its modules are ever loaded, and what is loaded is compiled then.
$(OLD)/.packages: requirements-old.txt
	$(PYTHON) -m venv $(OLD)
	$(OLD)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-compile -r $<
	touch $@

# After the other one: both write the metadata of this package beside its source.
$(OLD)/.installed: $(OLD)/.packages setup.py $(VENV)/.installed
	$(OLD)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

install: $(VENV)/.installed $(OLD)/.installed

demo: $(VENV)/.installed
	$(BIN)/mlflow-gitops demo $(ARGS)

# Compiled once: the tests start many processes.
test: install
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n 2 --dist loadgroup $(ARGS)

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed
	status=0; for script in benchmarks/[!_]*.py; do $(BIN)/python $$script $(ARGS) || status=1; done; exit $$status

soak: $(VENV)/.installed
	MLFLOW_GITOPS_SOAK=1 $(BIN)/pytest -n 0 -k "crash or race or parallel or property" $(ARGS)

clean:
	rm -rf $(VENV) $(OLD) .demo build dist *.egg-info
