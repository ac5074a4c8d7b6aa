# make demo   sets everything up, relaxes distorted molecules with the built-in database
# make test   sets everything up, runs linter, type checker and all tests, in WORKERS processes
# make docs   sets everything up, builds the documentation into docs_output: open docs_output/index.html
# make notebooks   sets everything up, runs the notebooks of the paper's cases into notebook_output
#
# PYTHON is the interpreter that the environment is made with. The versions that were tested are in
# constraints.txt; to use another torch (for a GPU), install it into .venv first and set
# CONSTRAINTS to an empty file or one of your own.

PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
# Each takes a processor and about 2 GB of memory.
WORKERS ?= 2
# Installed modules are compiled when they are first imported, and that is to last: uncompiled, torch
# takes three times as long to import, which most tests of commands and workers do anew.
unexport PYTHONDONTWRITEBYTECODE
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint docs notebooks clean

demo: $(STAMP)
	$(BIN)/python examples/demo.py

test: $(STAMP) lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache

docs: $(STAMP)
	$(BIN)/python -m pip install --quiet -c $(CONSTRAINTS) -e '.[docs]'
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs_output

notebooks: $(STAMP)
	$(BIN)/python -m pip install --quiet -c $(CONSTRAINTS) -e '.[cpu,notebooks]'
	$(BIN)/jupyter nbconvert --to notebook --execute --output-dir notebook_output notebooks/*.ipynb

# Most modules of what is installed are never imported: those that are, are compiled then.
$(STAMP): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-compile -c $(CONSTRAINTS) torch
	$(BIN)/python -m pip install --quiet --no-compile -c $(CONSTRAINTS) -e '.[cpu,test]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) build *.egg-info demo_output notebook_output docs_output docs/gathered .pytest_cache .mypy_cache .ruff_cache
