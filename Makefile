# Every target installs what it needs in .venv. Requirements: Python 3.11 or newer with pip, and make.
PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal --durations 10
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test test-all lint mutation bench docs package clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

demo: .venv/.installed ## Render dSprites, train ChartVAE for 5,000 steps, score and draw it (6 minutes on two cores, 5 of them training)
	$(BIN)/unbraid data dsprites
	$(BIN)/unbraid train chart-vae --preset brief --out runs/demo --resume
	$(BIN)/unbraid evaluate runs/demo --images 50000
	$(BIN)/unbraid traverse runs/demo

test: .venv/.installed-dev ## Run the tests on up to 8 cores, but for slow ones (4 minutes on two cores)
	$(PYTEST) -m 'not slow'

test-all: .venv/.installed-dev ## Run all tests, and check how much of the code they cover (20 minutes on two cores)
	mkdir -p build
	UNBRAID_HYPOTHESIS_PROFILE=full $(PYTEST) --cov --cov-report json
	$(BIN)/python -m tools.coverage_bars build/coverage.json

lint: .venv/.installed-dev ## Check format, style, types and language
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/python -m pytest tests/test_language.py

mutation: .venv/.installed-dev ## Change the mathematics line by line and see whether a test fails; writes tests/mutation/report.toml
	$(BIN)/python -m tests.mutation

bench: .venv/.installed-dev .venv-peers/.installed ## Time steps, other libraries and metrics; writes results/benchmarks/
	$(BIN)/python -m benchmarks.step
	.venv-peers/bin/python -m benchmarks.peers
	$(BIN)/python -m benchmarks.metrics

docs: .venv/.installed-dev ## Build the documentation in site/, with warnings as errors
	$(BIN)/python -m sphinx -W --keep-going -b html docs site

package: .venv/.installed-dev ## Build the wheel and the sdist, install each in an empty environment, and run a demo there
	$(BIN)/python -m tools.package

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
