# softseg: `make reproduce` computes a book from nothing, `make test` checks everything.
# Both set up what they need in .venv; nothing is assumed but Python 3.11, make and a package index.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help env reproduce test tiny book chapters plan weights release check format benchmark clean

PYTHON ?= $(shell command -v python3.11 || command -v python3)
CORES ?= $(shell env -u OMP_NUM_THREADS nproc 2>/dev/null || echo 2)
BIN := .venv/bin
STAMP := .venv/.installed
# One notebook is one thread, so that results do not depend on the number of cores.
export OMP_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# One workflow a scale at a time, by a lock that ends with its process: after a kill the same command
# simply goes on. Without `flock` (macOS) Snakemake locks, and after a kill wants `--unlock` once.
FLOCK := $(shell command -v flock)
alone = $(FLOCK) --nonblock $(1) true || echo "Waiting: another make works on $(1)" >&2; $(FLOCK) $(1)
snakemake = $(if $(FLOCK),$(call alone,notebooks/scales/$(1).yml)) $(BIN)/python notebooks/workflow.py -s notebooks/Snakefile --cores $(CORES) --rerun-incomplete --keep-going --quiet host --show-failed-logs $(if $(FLOCK),--nolock) --configfile notebooks/scales/$(1).yml

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /\1|/' | column -t -s '|'

env: $(STAMP) ## set up .venv with everything, pinned by constraints.txt

# PyTorch comes first: asked for by another package it may arrive as a build of several gigabytes.
$(STAMP): pyproject.toml notebooks/pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' || { echo "Python 3.11 or later is needed; found $$($(PYTHON) --version). Set PYTHON=…" >&2; exit 2; }
	@echo "Setting up .venv (some minutes the first time)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]' --editable notebooks
	@touch $@

reproduce: $(STAMP) ## demo scale from nothing: data, truth, models, statistics, a book of the results
	@$(call snakemake,demo) -- everything
	@echo; echo "The book of these results: $(CURDIR)/runs/demo/book/_build/html/index.html"
	@echo "The same as one file to keep: $(CURDIR)/runs/demo/book.html"

tiny: $(STAMP) ## the same analysis in a minute or two, too small to conclude anything
	@$(call snakemake,tiny) -- chapters

# Two processes share out the files of tests; each of them is one thread.
SHARED_OUT := --numprocesses 2 --dist loadfile

test: $(STAMP) tiny ## unit tests, doctests, notebooks through nbval, stale chapters, strict book build
	$(BIN)/python -m pytest $(SHARED_OUT)
	$(BIN)/python -m pytest $(SHARED_OUT) --nbval-lax --nbval-cell-timeout 600 -p no:cacheprovider -o addopts= notebooks/*.ipynb
	@echo "Everything passed."

book: $(STAMP) ## render the committed chapters (no data, no network)
	$(BIN)/jupyter-book build . -W -n --keep-going
	@echo; echo "The book: $(CURDIR)/_build/html/index.html"

# FACTORS=truth,models trains the main comparison first; the same without it goes on with the rest.
chapters: $(STAMP) ## execute at book scale (long) and refresh the committed chapters
	@$(call snakemake,book) notebooks/scales/grid.yml $(if $(FACTORS),--config factors=$(FACTORS)) -- chapters
	$(BIN)/python notebooks/assemble.py --commit runs/book/chapters
	$(BIN)/python notebooks/overview.py runs/book book/_static/overview.png

plan: $(STAMP) ## list the jobs that `make chapters` has left, and the core hours of all of them
	@$(call snakemake,book) notebooks/scales/grid.yml --dry-run --quiet rules -- chapters
	@$(BIN)/python notebooks/cost.py notebooks/scales/book.yml notebooks/scales/grid.yml

weights: $(STAMP) ## train the weights that ship, about an hour and a half; needs ../shared/data
	@$(call snakemake,weights) -- models
	$(BIN)/python notebooks/release.py runs/weights softseg/weights
	$(BIN)/python notebooks/hub_card.py

# The cheap question first: whether the committed chapters are those of today's sources.
release: $(STAMP) ## check that all may be published, and build wheel and one-file book into dist/
	$(BIN)/python notebooks/staleness.py
	bash .ci/address
	@$(MAKE) check test
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	$(BIN)/python notebooks/single_page.py . dist/softseg-book.html

check: $(STAMP) ## lint and format, notebooks included
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/ruff format --check --line-length 72 notebooks/*.ipynb
	$(BIN)/python tests/audit_dependencies.py

format: $(STAMP) ## format in place
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/ruff format --line-length 72 notebooks/*.ipynb

benchmark: $(STAMP) ## measure speed and accuracy, refresh the tables of the pages that show them
	mkdir -p runs
	PYTHONPATH=tests $(BIN)/python -m pytest -o addopts=--doctest-modules --benchmark-only --benchmark-timer processor_time.seconds -m 'not stress' --benchmark-json runs/benchmarks.json tests
	$(BIN)/python tests/benchmark_table.py runs/benchmarks.json $(wildcard runs/benchmarks_*.json) book/tables/benchmarks.csv

clean: ## remove what was computed (not .venv, not data)
	rm -rf runs/demo runs/tiny _build .snakemake
