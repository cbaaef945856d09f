# Everything that the project needs is put into .venv; nothing else on the machine is touched.
PYTHON ?= python3.11
PYTAG := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
VENV ?= $(if $(filter 3.11,$(PYTAG)),.venv,.venv-$(PYTAG))
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=
# Two more than the cores, six at most: many tests wait for a process.
WORKERS = $(shell $(BIN)/python -c 'import os; print(min(6, 2 + (os.cpu_count() or 1)))')
# The tests start many processes: without bytecode on disk each one compiles all sources anew.
unexport PYTHONDONTWRITEBYTECODE
# On a busy machine the threads of OpenBLAS wait for each other, and burn a fifth of the analyzers' time so.
export OPENBLAS_NUM_THREADS = 1
# pip uses one core, and every package is pinned without its dependencies: two halves are installed at the same time.
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

.PHONY: help demo test lint serve dashboard bench soak requirements clean
help:            ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

$(STAMP): requirements/build.txt requirements/all.txt pyproject.toml sdk/pyproject.toml
	@test -n "$(PYTAG)" || { echo "make: no '$(PYTHON)' here. Install Python 3.11 or later, or say: make $(MAKECMDGOALS) PYTHON=python3"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the pinned requirements into $(VENV) (about 1 GB, once)"
	@$(PIP) install --quiet --require-hashes -r requirements/build.txt
	@awk '/^[^ #]/ { n++ } { print > ("$(VENV)/pinned." n % 2) }' requirements/all.txt
	@printf '%s\n' 0 1 | xargs -P 2 -I {} $(PIP) install --quiet --require-hashes --no-deps --no-build-isolation -r $(VENV)/pinned.{}
	@$(PIP) install --quiet --no-deps --no-build-isolation -e . -e sdk
	@touch $@

demo: $(STAMP)   ## nine months of real flights, one planted fault: ARGS=--check for a run without a browser
	@$(BIN)/watchkeeper demo $(ARGS)

test: $(STAMP)   ## every test that pip alone can run: ARGS="-k name" for a part
	@$(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder $(ARGS)

lint: $(STAMP)   ## format, lint, types, layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/pyright

serve: $(STAMP)  ## the server on 127.0.0.1:8090, data in ./out/data
	@$(BIN)/watchkeeper serve --data-dir out/data $(ARGS)

dashboard: $(STAMP)  ## the dashboard of a running server
	@$(BIN)/watchkeeper dashboard $(ARGS)

bench: $(STAMP)  ## the long figures; results land in benchmarks/results
	@$(BIN)/python -m benchmarks $(ARGS)

soak: $(STAMP)   ## killed again and again under load: no event and no message is lost
	@$(BIN)/python -m benchmarks soak delivery $(ARGS)

requirements:    ## compile the pinned requirements anew (needs uv)
	@uv pip compile requirements/build.in --universal --generate-hashes --no-strip-extras --python-version 3.11 --no-header -q -o requirements/build.txt
	@uv pip compile pyproject.toml --all-extras --group dev --universal --generate-hashes --no-strip-extras --python-version 3.11 --no-header -q -o requirements/all.txt
	@grep '^#' deploy/requirements.txt > deploy/requirements.head
	@uv pip compile pyproject.toml --extra dashboard --extra postgres --constraint requirements/all.txt --universal --generate-hashes --no-strip-extras --python-version 3.11 --no-header --no-annotate -q -o deploy/requirements.txt
	@cat deploy/requirements.txt >> deploy/requirements.head && mv deploy/requirements.head deploy/requirements.txt

clean:           ## remove what make made
	@rm -rf .venv .venv-* out
