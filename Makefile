# Two commands do everything from a bare python3: `make ablation` and `make test`.
.DEFAULT_GOAL := help
.PHONY: words help ablation search dashboard bench torture calibrate gpu-check gpu-bench gpu-study wheelhouse publish tensorboard test test-all check format lint types imports lock clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# A GPU is looked for without torch, so that the first line can say what will happen.
GPU := $(shell nvidia-smi -L 2>/dev/null | grep -c '^GPU')
SEARCHED := $(or $(STUDY),studies/reduction.toml)
ifdef STUDY
  WHY := as asked with STUDY=
  CHOSEN_DEVICE := auto
else ifeq ($(GPU),0)
  # The first study's test images are a part of the digits; the grid takes any images.
  STUDY := studies/$(if $(DATA),digits-grid,digits).toml
  WHY := no NVIDIA GPU here (nvidia-smi lists none); STUDY=studies/attention.toml takes the reference grid
  CHOSEN_DEVICE := auto
else
  STUDY := studies/attention.toml
  WHY := nvidia-smi lists $(GPU) GPU(s); STUDY=studies/digits.toml takes the small example
  CHOSEN_DEVICE := cuda
endif
DEVICE ?= $(CHOSEN_DEVICE)
# Recipes read them from the environment, so that a quote in a path stays a quote.
export STUDY DATA SEARCHED
OPTIONS = $${DATA:+--data "$$DATA"}

help:
	@echo 'make ablation [STUDY=FILE] [DATA=PATH]   train what is missing of a study, write its report'
	@echo 'make search [STUDY=FILE] [DATA=PATH]     let Optuna search the space of a study, write its report'
	@echo 'make dashboard                           show searches in the dashboard of Optuna, on this machine'
	@echo 'make bench [DATA=PATH]                   compare the training engine with what people use today'
	@echo 'make calibrate [SHARE=0.01]              prove verdicts, the noise floor and the profiler (hours), or a part of it'
	@echo 'make torture                             break things on purpose, count what is lost (about an hour)'
	@echo 'make gpu-check                           what only a CUDA device can show: graphs, precision, memory'
	@echo 'make gpu-bench [DATA=PATH]               the same comparison on a CUDA device, and where the time goes'
	@echo 'make gpu-study DATA=PATH [SEEDS=N]       the reference grid on a CUDA device, ready to publish;'
	@echo '               [SLICE_SECONDS=N]         stops before that limit with exit code 3, to go on when run again'
	@echo 'make wheelhouse FOR=3.12 [ONLY=NAMES]    collect what such a Python lacks that has torch; without a network:'
	@echo '                                         make gpu-check WHEELHOUSE=wheelhouse PYTHON=its/python, likewise the others'
	@echo 'make publish [CHECK=1]                   make every published report anew, or check that none has changed'
	@echo 'make tensorboard                         show training in TensorBoard, on this machine'
	@echo 'make test                                run the tests, but for the slow ones'
	@echo 'make test-all                            run all tests'
	@echo 'make check                               format, lint, types, import rules and the tests'
	@echo 'make words                               bring the catalogues of other languages up to date with the code'
	@echo 'make lock                                pin the newest versions into requirements.lock'

ablation:
	$(info ablation: $(STUDY) ($(WHY)))
	@$(MAKE) --no-print-directory $(READY)
	@$(BIN)/ablate plan "$$STUDY" $(OPTIONS)
	@status=0; $(BIN)/ablate run "$$STUDY" $(OPTIONS) --device $(DEVICE) || status=$$?; \
	if [ $$status -gt 1 ]; then exit $$status; fi; \
	$(BIN)/ablate report "$$STUDY" $(OPTIONS) || exit $$?; \
	exit $$status

search: $(READY)
	@$(BIN)/ablate search "$$SEARCHED" $(OPTIONS)
	@$(BIN)/ablate report "$$SEARCHED" $(OPTIONS)

dashboard: $(READY)
	@$(BIN)/ablate dashboard

bench: $(READY)
	@$(BIN)/python -m benchmarks all $(OPTIONS)

calibrate: $(READY)
	@$(BIN)/python -m benchmarks.calibrate --share $(or $(SHARE),1)

# With WHEELHOUSE the targets below take the Python that is named, which has torch, and beside it what lies in
# that folder: nothing is fetched, and nothing is installed into it.
ifdef WHEELHOUSE
  GPU_READY := .offline/.ready
  GPU_PYTHON := PYTHONPATH="$(CURDIR)/.offline:$(CURDIR)" $(PYTHON)
else
  GPU_READY := $(READY)
  GPU_PYTHON := $(BIN)/python
endif

# One process, as its tests time graphs. Which warnings there are depends on the version of torch.
gpu-check: $(GPU_READY)
	@$(GPU_PYTHON) -m pytest tests/test_gpu.py -m gpu -n 0 -W default

gpu-bench: $(GPU_READY)
	@$(GPU_PYTHON) -m benchmarks.gpu --device cuda $(OPTIONS)

gpu-study: $(GPU_READY)
	@$(GPU_PYTHON) -m benchmarks.reference --device cuda --seeds $(or $(SEEDS),5) \
	  $(if $(SLICE_SECONDS),--slice-seconds $(SLICE_SECONDS)) $(OPTIONS)

wheelhouse: $(READY)
	@$(if $(FOR),,echo 'make wheelhouse FOR=3.12: for which Python?'; exit 2;) \
	  $(BIN)/python -m benchmarks.wheelhouse collect $(FOR) $(or $(WHEELHOUSE),wheelhouse) $(ONLY)

.offline/.ready: requirements.lock pyproject.toml $(wildcard $(WHEELHOUSE)/*.whl)
	@$(PYTHON) -m benchmarks.wheelhouse unpack '$(WHEELHOUSE)' .offline
	@mkdir -p .offline && touch .offline/.ready

publish: $(READY)
	@$(BIN)/python -m benchmarks.publish $(if $(CHECK),--check)

tensorboard: $(READY)
	@$(BIN)/ablate tensorboard

torture: $(READY)
	@$(BIN)/python -m tests.torture

test: $(READY)
	@$(BIN)/python -m pytest -m 'not slow'

test-all: test
	@$(BIN)/python -m pytest -m slow

check: format lint types imports test

format: $(READY)
	@$(BIN)/ruff format --check .

lint: $(READY)
	@$(BIN)/ruff check .

types: $(READY)
	@$(BIN)/mypy

imports: $(READY)
	@$(BIN)/lint-imports

# A user's pip may be set to install for the user, which no virtual environment allows (PIP_USER=1, pip.conf).
# uv installs the locked versions, each checked against its hash, several times faster than pip. Compiled, torch
# is imported in half the time, also by the first command and where Python may write no bytecode.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"ablate needs Python 3.11 to 3.13, this is {v[0]}.{v[1]}: make PYTHON=python3.12 …")'
	@echo 'installing the locked packages into $(VENV) (about 6 GB on Linux, most of it torch with CUDA)'
	@$(PYTHON) -m venv $(VENV)
	@PIP_USER=0 $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(VENV) --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(VENV) --no-deps --no-build-isolation --editable .
	@touch $(READY)

words: $(READY)
	@$(BIN)/python -m benchmarks.catalogue

lock:
	@test -x $(BIN)/uv || { $(PYTHON) -m venv $(VENV) && PIP_USER=0 $(BIN)/python -m pip install --quiet uv; }
	@$(BIN)/uv pip compile pyproject.toml --extra dev --extra bench --extra onnx --extra postgres --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-emit-index-url --upgrade --quiet -o requirements.lock

clean:
	rm -rf $(VENV) .offline wheelhouse build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
