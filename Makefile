# The verbs of this project. On a fresh machine each one first makes .venv and installs what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test test-long test-slow check bench docs gallery clean

help:
	@echo "make demo       run the main job on built-in data; ends with the path of its report"
	@echo "make test       the tests (a few minutes on two cores)"
	@echo "make test-long  the tests that are too long for make test and that CI runs after it"
	@echo "make test-slow  these, and the slow ones (half an hour)"
	@echo "make check      ruff and mypy"
	@echo "make bench      speed, start-up time and memory, against the stated targets"
	@echo "make docs       rebuild the tables that are made from the code"
	@echo "make gallery    draw the README's pictures from runs/demo (make demo first)"
	@echo "make clean      remove .venv, caches and built files (runs/ stays)"

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "uncollapse needs Python 3.11 or newer, and '$(PYTHON)' is not: install one and run 'make PYTHON=/path/to/python3.11 ...'." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "'$(PYTHON) -m venv' failed: install the venv module (Debian and Ubuntu: apt-get install python3-venv) and run make again." >&2; exit 1; }

# The stamp makes repeats instant; a change of the dependencies installs again.
$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(INSTALLED)
	$(BIN)/uncollapse demo --out runs/demo

test: $(INSTALLED)
	$(BIN)/python -m pytest -n auto --dist worksteal

test-long: $(INSTALLED)
	$(BIN)/python -m pytest -n auto --dist worksteal -m long

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -n auto --dist worksteal -m "slow or long"

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED)
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/metrics.py
	$(BIN)/python benchmarks/image_updates.py
	$(BIN)/python benchmarks/watching.py
	$(BIN)/python benchmarks/engines.py

docs: $(INSTALLED)
	$(BIN)/python docs/evidence.py
	$(BIN)/python docs/generate.py

gallery: $(INSTALLED)
	$(BIN)/python scripts/gallery.py runs/demo

clean:
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache
	find src tests benchmarks examples docs -name __pycache__ -type d -prune -exec rm -rf {} +
