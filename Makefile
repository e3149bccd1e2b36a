# Two commands on a fresh machine:
#   make run    set up, then detect mitoses in the sample field: in napari, or into out/ without a display
#   make test   set up, then lint, type check and every test
# Both can be run again at any time and do only what is left to do.

VENV ?= .venv
TORCH ?= torch==2.13.0
PYTHON ?=
OUT ?= out
BIN := $(VENV)/bin
export VENV TORCH PYTHON
export QT_API = pyqt6

.DEFAULT_GOAL := help
.PHONY: help run test setup setup-dev system system-test lint types pytest attack monkey build clean

help:
	@sed -n '2,4s/^# *//p' Makefile

system:
	@bash tools/system_libraries.sh

system-test:
	@bash tools/system_libraries.sh test

setup: system
	@bash tools/setup.sh all

setup-dev: system-test
	@bash tools/setup.sh dev

run: setup
	$(BIN)/napari-mitosis demo --out $(OUT)

test: setup-dev lint types pytest

lint:
	$(BIN)/ruff check .

types:
	$(BIN)/mypy

pytest:
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder --durations=15

# The whole attack of tests/attack, half an hour or more; SCALE=0.1 runs a tenth of it.
attack:
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.attack --scale $(or $(SCALE),1)

monkey:
	for seed in $(or $(SEEDS),1 2 3); do \
	  NAPARI_MITOSIS_MONKEY=$(or $(STEPS),2000) NAPARI_MITOSIS_MONKEY_SEED=$$seed $(BIN)/python -m pytest tests/gui/test_monkey.py || exit 1; \
	done

build:
	$(BIN)/python -m build

clean:
	rm -rf build dist out .pytest_cache .mypy_cache .ruff_cache .hypothesis
