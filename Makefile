# Each target sets itself up in .venv on a bare machine: Python 3.11 or newer with pip, and make.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test lint bench docs setup clean

demo: .venv/.installed ## the main job: data, a run of minutes, its scores, its pictures
	$(BIN)/unbraid data dsprites
	$(BIN)/unbraid train chart-vae --preset brief --out runs/demo --resume
	$(BIN)/unbraid evaluate runs/demo --images 50000
	$(BIN)/unbraid traverse runs/demo

test: .venv/.installed-dev ## the tests, on every core
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile

lint: .venv/.installed-dev ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

bench: .venv/.installed-dev .venv-peers/.installed ## step time, beside peers too, encoding, metrics, memory; writes results/benchmarks/
	$(BIN)/python -m benchmarks.step
	.venv-peers/bin/python -m benchmarks.peers
	$(BIN)/python -m benchmarks.metrics

docs: .venv/.installed-dev ## the documentation, in site/; every warning is an error
	$(BIN)/python -m sphinx -W --keep-going -b html docs site

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.installed: .venv/bin/python pyproject.toml
	$(BIN)/pip install --quiet -e .
	touch $@

.venv/.installed-dev: .venv/.installed
	$(BIN)/pip install --quiet -e '.[dev]'
	touch $@

# Peers bring no torch of their own: theirs would replace a CPU build with gigabytes.
.venv-peers/.installed: pyproject.toml Makefile
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet -e . cloudpickle h5py imageio 'lightning>=2,<3' 'pydantic>=2,<3' requests scikit-learn
	.venv-peers/bin/pip install --quiet --no-deps pythae==0.1.2 disent==0.8.0
	touch $@

clean:
	rm -rf .venv .venv-peers runs site docs/api
