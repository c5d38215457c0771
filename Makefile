# Every target installs what it needs in .venv. Requirements: Python 3.11 or newer with pip, and make.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test lint bench docs clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' Makefile

demo: .venv/.installed ## Render dSprites, train ChartVAE for 5,000 steps, score and draw it (6 minutes on two cores, 5 of them training)
	$(BIN)/unbraid data dsprites
	$(BIN)/unbraid train chart-vae --preset brief --out runs/demo --resume
	$(BIN)/unbraid evaluate runs/demo --images 50000
	$(BIN)/unbraid traverse runs/demo

test: .venv/.installed-dev ## Run the tests on up to 8 cores
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile

lint: .venv/.installed-dev ## Check format, style, types and language
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/python -m pytest tests/test_language.py

bench: .venv/.installed-dev .venv-peers/.installed ## Time steps, other libraries and metrics; writes results/benchmarks/
	$(BIN)/python -m benchmarks.step
	.venv-peers/bin/python -m benchmarks.peers
	$(BIN)/python -m benchmarks.metrics

docs: .venv/.installed-dev ## Build the documentation in site/, with warnings as errors
	$(BIN)/python -m sphinx -W --keep-going -b html docs site

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.installed: .venv/bin/python pyproject.toml
	@echo 'installing into .venv: a minute or two'
	$(BIN)/pip install --quiet -e .
	touch $@

.venv/.installed-dev: .venv/.installed
	@echo 'installing the development tools into .venv: a minute or two'
	$(BIN)/pip install --quiet -e '.[dev]'
	touch $@

# Other libraries are installed without their dependencies: their PyTorch would replace a CPU build with gigabytes.
.venv-peers/.installed: pyproject.toml Makefile
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet -e . cloudpickle h5py imageio 'lightning>=2,<3' 'pydantic>=2,<3' requests scikit-learn
	.venv-peers/bin/pip install --quiet --no-deps pythae==0.1.2 disent==0.8.0
	touch $@

clean: ## Remove environments, runs and built documentation
	rm -rf .venv .venv-peers runs site docs/api build src/*.egg-info
