# Two commands on a fresh machine: `make demo` and `make test`. They need Python >= 3.11 and make, nothing else.
PYTHON ?= python3
VENV ?= .venv
PIP = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# Changed pins or dependencies, and nothing else, make pip run again; the install is editable.
PINS = pyproject.toml constraints.txt

.PHONY: help demo test lint format types schema clean
.DELETE_ON_ERROR:

help:
	@echo "make demo    phantom dataset, plan, two short trainings, prediction, comparison (about two minutes)"
	@echo "make test    the tests"
	@echo "make lint    ruff: lint and format check        make format  let ruff mend what it can"
	@echo "make schema  write docs/plan.schema.json anew, after a change of the plan's records"
	@echo "make types   mypy                               make clean   remove $(VENV) and build outputs"
	@echo "PYTHON=python3.12 make demo chooses the interpreter that makes $(VENV)."

demo: $(VENV)/.installed
	$(VENV)/bin/autodiffseg demo

test: $(VENV)/.installed-test
	$(VENV)/bin/python -m pytest

lint: $(VENV)/.installed-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

format: $(VENV)/.installed-test
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

types: $(VENV)/.installed-test
	$(VENV)/bin/mypy autodiffseg planners trainers dataset_conversion

schema: $(VENV)/.installed
	$(VENV)/bin/python -m autodiffseg.plan_schema docs/plan.schema.json

$(VENV)/bin/python:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" \
		|| { echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 …" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(PINS) | $(VENV)/bin/python
	$(PIP) -e .
	@touch $@

$(VENV)/.installed-test: $(PINS) | $(VENV)/bin/python
	$(PIP) -e ".[test]"
	@touch $(VENV)/.installed $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
