# Two commands from a bare Python 3.11 or newer: `make demo` and `make test`.
# Everything is installed into .venv with the tested versions of constraints.txt.
# `make test-fast` leaves out what starts processes or takes minutes: tests/end_to_end.
# `make suite` runs Transformers' own model tests, `make compat` a release on Transformers 4.57, `make runtimes` tiny
# releases in every runtime; all three need the network, the last one Node 20 too.

PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin
STAMP = $(VENV)/installed
OLD_VENV ?= .venv-4.57
OLD_STAMP = $(OLD_VENV)/installed
SPACE_VENV ?= .venv-space
SPACE_STAMP = $(SPACE_VENV)/installed
RUNTIMES_VENV ?= .venv-runtimes
RUNTIMES_STAMP = $(RUNTIMES_VENV)/installed
NODE_SOURCE = benchmarks/runtimes/transformers_js
NODE_PROJECT ?= outputs/transformers_js
NODE_STAMP = $(NODE_PROJECT)/installed
# The long run: its state and shards, the recipe, options beside it, and what reads CORPUS/train*.jsonl.gz and so on.
WEIGHTS ?= $(HOME)/.cache/chinese-modernbert/mini
RECIPE ?= pretrain_mini
OPTIONS ?=
NAME ?= mini
CORPUS ?= $(CHINESE_MODERNBERT_DATA)/corpus
BACKGROUND = exec nice -n 12 $(RUN)/chinese-modernbert

.PHONY: install demo docs test whole-units whole-commands test-fast fast-trainers fast-others suite compat gpu check fix wheel clean \
	runtimes space extras weights weights-progress weights-report models

install: $(STAMP)

# torch first: another package's open range would otherwise pull the newest build with its CUDA packages.
$(STAMP): pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN)/pip install --quiet --constraint constraints.txt torch
	$(RUN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(STAMP)

demo: $(STAMP)
	$(RUN)/chinese-modernbert demo --output_dir outputs/demo --overwrite

# Two runs of pytest, one for each of two cores, here and in test-fast; the files moved from the second to the first let
# both take about as long.
WITH_UNITS = tests/end_to_end/test_pages.py tests/end_to_end/test_release.py

test: $(STAMP)
	$(MAKE) --jobs 2 whole-units whole-commands

whole-units: $(STAMP)
	OMP_NUM_THREADS=1 $(RUN)/pytest tests/unit tests/parity tests/transformers_suite $(WITH_UNITS)

whole-commands: $(STAMP)
	OMP_NUM_THREADS=1 $(RUN)/pytest tests/end_to_end $(addprefix --ignore ,$(WITH_UNITS))

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
	$(OLD_VENV)/bin/pip install --quiet --constraint constraints-4.57.txt transformers sentence-transformers peft \
		"optimum-onnx[onnxruntime]"
	touch $(OLD_STAMP)

compat: $(STAMP) $(OLD_STAMP)
	CHINESE_MODERNBERT_OLD_PYTHON=$(abspath $(OLD_VENV))/bin/python \
		$(RUN)/pytest tests/unit/hub_release/test_old_transformers.py

# The page has an environment of its own: Gradio needs an older Pillow. Without the lines that name another index, which
# the constraints make idle.
$(SPACE_STAMP): examples/space/requirements.txt constraints-space.txt
	$(PYTHON) -m venv $(SPACE_VENV)
	$(SPACE_VENV)/bin/pip install --quiet --constraint constraints-space.txt torch
	grep -v '^--' examples/space/requirements.txt > $(SPACE_VENV)/requirements.txt
	$(SPACE_VENV)/bin/pip install --quiet --constraint constraints-space.txt -r $(SPACE_VENV)/requirements.txt
	touch $(SPACE_STAMP)

# The page in a browser; needs chromium and chromedriver.
space: $(STAMP) $(SPACE_STAMP)
	CHINESE_MODERNBERT_SPACE_PYTHON=$(abspath $(SPACE_VENV))/bin/python $(RUN)/pytest tests/end_to_end/test_space_browser.py

# Everything worth knowing from eight minutes with a GPU; DATA names a folder of shards for the training run.
gpu: $(STAMP)
	$(RUN)/python benchmarks/gpu/run.py --output outputs/gpu $(if $(DATA),--data $(DATA))

# Runtimes whose packages do not fit into .venv. optimum asks for torchvision, and one of another build than torch's
# breaks every model of Transformers; nothing here needs it.
$(RUNTIMES_STAMP): constraints-runtimes.txt
	$(PYTHON) -m venv $(RUNTIMES_VENV)
	$(RUNTIMES_VENV)/bin/pip install --quiet --constraint constraints-runtimes.txt torch
	$(RUNTIMES_VENV)/bin/pip install --quiet --constraint constraints-runtimes.txt \
		fastembed nncf onnxruntime openvino optimum-intel sentence-transformers
	$(RUNTIMES_VENV)/bin/pip uninstall --quiet --yes torchvision
	touch $(RUNTIMES_STAMP)

$(NODE_STAMP): $(NODE_SOURCE)/package.json $(NODE_SOURCE)/package-lock.json
	mkdir -p $(NODE_PROJECT)
	cp $(NODE_SOURCE)/package.json $(NODE_SOURCE)/package-lock.json $(NODE_PROJECT)
	npm ci --prefix $(NODE_PROJECT) --ignore-scripts --no-audit --no-fund
	touch $(NODE_STAMP)

# Needs real texts, from the folder in CHINESE_MODERNBERT_DATA.
runtimes: $(STAMP) $(OLD_STAMP) $(RUNTIMES_STAMP) $(NODE_STAMP)
	$(RUN)/python benchmarks/runtimes/matrix.py --old_python $(OLD_VENV)/bin/python \
		--runtimes_python $(RUNTIMES_VENV)/bin/python --node_project $(NODE_PROJECT)

$(WEIGHTS)/shards/%/manifest.json: | $(STAMP)
	$(BACKGROUND) prepare --corpus "$(CORPUS)/$**.jsonl.gz" --output_dir $(@D)

# Begins the long run or goes on with it, beside other work; `kill` of this make saves a checkpoint and ends it.
weights: $(WEIGHTS)/shards/train/manifest.json $(WEIGHTS)/shards/validation/manifest.json
	echo "$$(date -u +%FT%TZ) $$(git describe --always --dirty)" >> $(WEIGHTS)/pieces.txt
	$(BACKGROUND) pretrain --config $(RECIPE) --data $(WEIGHTS)/shards/train --eval_data $(WEIGHTS)/shards/validation \
		--output_dir $(WEIGHTS)/run --resume auto $(OPTIONS)

weights-progress: $(STAMP)
	@$(RUN)/chinese-modernbert pretrain progress $(WEIGHTS)/run

# From a finished run: every score, and the released folder, which is committed.
weights-report: $(STAMP)
	exec nice -n 12 $(RUN)/python benchmarks/weights_report.py --weights $(WEIGHTS) --name $(NAME)

# After a change of modeling/: the released folders of this repository get the new code, their weights stay.
models: $(STAMP)
	$(RUN)/python benchmarks/renew_models.py

# The site, in English and Chinese: outputs/site/index.html. Whatever leads nowhere is an error.
docs: $(STAMP)
	$(RUN)/python docs/site/assemble.py outputs/site_pages
	NO_MKDOCS_2_WARNING=1 $(RUN)/mkdocs build --quiet --strict
	NO_MKDOCS_2_WARNING=1 $(RUN)/mkdocs build --quiet --strict --config-file docs/site/mkdocs.zh.yml

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

# Each extra of the wheel in an empty environment, one at a time; needs the network. EXTRAS="onnx all" tries two.
extras: $(STAMP)
	PYTHON=$(PYTHON) .ci/try_extras.sh $(EXTRAS)

clean:
	rm -rf $(VENV) $(OLD_VENV) $(SPACE_VENV) $(RUNTIMES_VENV) build dist outputs
