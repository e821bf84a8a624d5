# Two commands from a bare Python 3.11 or newer: `make demo` and `make test`.
# Everything is installed into .venv with the tested versions of constraints.txt.

PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin
STAMP = $(VENV)/installed

.PHONY: install demo test check fix wheel clean

install: $(STAMP)

# torch first: another package's open range would otherwise pull the newest build with its CUDA packages.
$(STAMP): pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN)/pip install --quiet --constraint constraints.txt torch
	$(RUN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(STAMP)

demo: $(STAMP)
	$(RUN)/chinese-modernbert demo --output_dir outputs/demo --overwrite

test: $(STAMP)
	$(RUN)/pytest

check: $(STAMP)
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/pyright --pythonpath $(RUN)/python
	$(RUN)/typos

fix: $(STAMP)
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

wheel: $(STAMP)
	rm -rf build dist
	$(RUN)/python -m build --outdir dist

clean:
	rm -rf $(VENV) build dist outputs
