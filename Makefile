# Works with plain pip and in folders whose path has spaces: every target is relative.
# Another interpreter:  make install PYTHON=python3.12

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.10 python3; do \
	"$$p" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null && echo "$$p" && break; done)
BIN := .venv/bin
STAMP := .venv/.installed
# With coverage:  make test PYTEST=".venv/bin/python -m coverage run -m pytest", then make coverage
PYTEST ?= $(BIN)/python -m pytest
# Processes that share the tests, a file at a time, so that what a file's tests have in common is made once. One core
# each; WORKERS=0 runs all tests in one process.
WORKERS ?= logical
SHARED := -n $(WORKERS) --maxprocesses 4 --dist loadfile
# nequip and nequip-allegro, for `make parity` alone.
PEER ?= .cache/peer
# ML-PEG, for `make ml-peg` and, if it is there, `make test-nightly`.
ML_PEG ?= .cache/ml_peg
# The models of tests and demo are small: more threads only make them slower.
export OMP_NUM_THREADS ?= 1
PROJECTS := $(wildcard core/pyproject.toml plugins/*/pyproject.toml tests/*/pyproject.toml examples/plugins/*/pyproject.toml)
# Compiled code is cached in the clone, so that all tests share it; torch's compiler wants a cache path without spaces.
ifeq ($(words $(CURDIR)),1)
export TORCHINDUCTOR_CACHE_DIR ?= $(CURDIR)/.cache/inductor
endif

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow test-nightly test-crash test-hostile test-lowest coverage parity ml-peg lint types docs release ci clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{ printf "  make %-12s %s\n", $$1, $$2 }'

install: $(STAMP) ## Make .venv with all packages (editable) and tools

$(STAMP): requirements-dev.txt constraints.txt $(PROJECTS)
	@test -n "$(PYTHON)" || { echo "make: no Python 3.10 to 3.13 found; say make PYTHON=..." >&2; exit 1; }
	test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $(STAMP)

demo: install ## Fit a potential to frames of ethanol in three minutes, and use it
	$(BIN)/python examples/demo.py

test: install ## Run the test suite, without the slow tests
	$(PYTEST) $(SHARED) -m "not slow and not nightly" $(PYTEST_ARGS)

test-slow: install ## Run the slow tests only
	$(PYTEST) $(SHARED) -m "slow and not nightly" $(PYTEST_ARGS)

test-nightly: install ## Run the tests that take minutes each
	EQUIPOT_ML_PEG_PYTHON="$${EQUIPOT_ML_PEG_PYTHON:-$(wildcard $(ML_PEG)/bin/python)}" $(PYTEST) -m "nightly" $(PYTEST_ARGS)

test-hostile: install ## Try hostile configs and files, and print how many were refused
	PYTHONPATH=tests/support $(BIN)/python -m hostile

test-crash: install ## Kill trainings at random instants and resume them, on two file systems
	$(PYTEST) -s -m nightly core/tests/train/test_crash.py $(PYTEST_ARGS)

LOWEST := .cache/lowest
# Without the plugins for other programs, which have requirements of their own.
test-lowest: install ## Run core's tests with the lowest versions that the packages admit
	test -x $(LOWEST)/bin/python || "$(PYTHON)" -m venv $(LOWEST)
	$(BIN)/python tools/lowest_versions.py > $(LOWEST)/constraints.txt
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check -c $(LOWEST)/constraints.txt \
		$$(grep '^-e ' requirements-dev.txt | grep -v 'engines\|lammps\|simulate') pytest pytest-timeout pytest-xdist hypothesis jsonschema
	$(LOWEST)/bin/python -m pytest -W default $(SHARED) -m "not slow and not nightly" core $(PYTEST_ARGS)

coverage: install ## Combine what test runs measured and print the total
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

parity: install ## Run nequip and allegro again, compare, in a venv PEER
	test -x $(PEER)/bin/python || "$(PYTHON)" -m venv $(PEER)
	$(PEER)/bin/python -m pip install --quiet --disable-pip-version-check -r tests/reference/requirements.txt
	$(PEER)/bin/python tests/reference/make_nequip_reference.py --check
	$(PEER)/bin/python tests/reference/make_allegro_reference.py --check
	$(BIN)/python tests/reference/parity.py
	EQUIPOT_NEQUIP_PYTHON=$(PEER)/bin/python $(PYTEST) plugins/from_nequip/tests/test_peer.py

# Its own venv, since ML-PEG pins what others need newer; uv, since pip finds no set of versions in minutes.
ml-peg: install ## Examine models with the physicality tests of ML-PEG, in a venv ML_PEG
	test -x $(ML_PEG)/bin/python || "$(PYTHON)" -m venv $(ML_PEG)
	$(ML_PEG)/bin/python -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' tests/ml_peg/requirements.txt)" uv
	$(ML_PEG)/bin/python -m uv pip install --quiet --python $(ML_PEG)/bin/python -r tests/ml_peg/requirements.txt
	$(BIN)/python tests/ml_peg/physicality.py --python $(ML_PEG)/bin/python --out docs/results/ml_peg/physicality.json

lint: install ## Check style, spelling and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/python tools/wording.py --quiet
	$(BIN)/lint-imports

types: install ## Check types
	$(BIN)/mypy

release: install ## Build wheels, their checksums and a bill of materials into dist
	test -x .cache/sbom/bin/python || "$(PYTHON)" -m venv .cache/sbom
	.cache/sbom/bin/python -m pip install --quiet --disable-pip-version-check cyclonedx-bom==7.5.0
	$(BIN)/python tools/release.py dist --sbom-python .cache/sbom/bin/python

docs: install ## Build the documentation into docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

ci: ## Everything above, with totals
	.ci/run

clean: ## Remove everything that make and the tools made
	rm -rf .venv .cache .coverage htmlcov docs/_build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	rm -rf dist core/dist plugins/*/dist demo_output outputs multirun
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
