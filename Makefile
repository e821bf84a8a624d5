# Two commands from a bare Python 3.11 or newer: `make demo` and `make test`.
# Everything is installed into .venv with the tested versions of constraints.txt.
# `make test-fast` leaves out what starts processes or takes minutes: tests/end_to_end.
# `make suite` runs Transformers' own model tests, `make compat` a release on Transformers 4.57; both need the network.

PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin
STAMP = $(VENV)/installed
OLD_VENV ?= .venv-4.57
OLD_STAMP = $(OLD_VENV)/installed

.PHONY: install demo test test-fast fast-trainers fast-others suite compat gpu check fix wheel clean

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

# Two runs of pytest, one for each of two cores.
test-fast: $(STAMP)
	$(MAKE) --jobs 2 --output-sync=target fast-trainers fast-others

fast-trainers: $(STAMP)
	$(RUN)/pytest tests/unit/trainers

fast-others: $(STAMP)
	$(RUN)/pytest tests/unit tests/parity --ignore tests/unit/trainers

# The tests come from the source distribution of the installed Transformers and stay in outputs/.
suite: $(STAMP)
	$(RUN)/python tests/transformers_suite/fetch_suite.py
	$(RUN)/pytest tests/transformers_suite

# An environment with the old Transformers; this package itself is not installed there.
$(OLD_STAMP): constraints-4.57.txt
	$(PYTHON) -m venv $(OLD_VENV)
	$(OLD_VENV)/bin/pip install --quiet --constraint constraints-4.57.txt torch
	$(OLD_VENV)/bin/pip install --quiet --constraint constraints-4.57.txt transformers sentence-transformers peft
	touch $(OLD_STAMP)

compat: $(STAMP) $(OLD_STAMP)
	CHINESE_MODERNBERT_OLD_PYTHON=$(abspath $(OLD_VENV))/bin/python \
		$(RUN)/pytest tests/unit/hub_release/test_old_transformers.py

# Everything worth knowing from eight minutes with a GPU; DATA names a folder of shards for the training run.
gpu: $(STAMP)
	$(RUN)/python benchmarks/gpu/run.py --output outputs/gpu $(if $(DATA),--data $(DATA))

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
	rm -rf $(VENV) $(OLD_VENV) build dist outputs
