# Each target sets itself up in .venv on a bare machine: Python 3.11 or newer with pip, and make.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test lint bench setup clean

demo: .venv/.installed ## the main job: data, a quick CascadeVAE, its scores, its pictures
	$(BIN)/unbraid data dsprites
	$(BIN)/unbraid train cascade-vae --preset quick --out runs/demo --resume
	$(BIN)/unbraid evaluate runs/demo
	$(BIN)/unbraid traverse runs/demo

test: .venv/.installed-dev ## the tests
	$(BIN)/python -m pytest

lint: .venv/.installed-dev ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

bench: .venv/.installed-dev ## step time, encoding, metrics, memory; writes results/benchmarks/
	$(BIN)/python -m benchmarks.step
	$(BIN)/python -m benchmarks.metrics

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.installed: .venv/bin/python pyproject.toml
	$(BIN)/pip install --quiet -e .
	touch $@

.venv/.installed-dev: .venv/.installed
	$(BIN)/pip install --quiet -e '.[dev]'
	touch $@

clean:
	rm -rf .venv runs
