# Everything a developer types. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# CRDS=FOLDER also holds the manifests against KubeRay's custom resource definitions.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --no-loadscope-reorder $(if $(CRDS),--crds="$(CRDS)")

.DEFAULT_GOAL := help

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is too old for constraints.txt, which needs Python 3.11 or newer;" \
		"name one that is: make $(or $(MAKECMDGOALS),install) PYTHON=python3.12" >&2; exit 1; }
	@echo "installing into $(VENV): a few minutes"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

.PHONY: install
install: $(STAMP)  ## create .venv and install the locked set and the package

.PHONY: demo
demo: install  ## train the main job: digits, two Ray workers, DeepSpeed ZeRO-2, MLflow
	$(BIN)/trainwright run jobs/quickstart.yaml

.PHONY: test
test: install  ## run the tests (under 15 minutes on 2 cores)
	$(PYTEST) -m "not slow and not gpu"

.PHONY: test-all
test-all: install  ## run all tests, the slow ones too
	HYPOTHESIS_PROFILE=new $(PYTEST) -m "not gpu"

.PHONY: lint
lint: install  ## check style, types and the arrows between packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: install  ## bring the code into the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: install  ## measure against bare loops and peers; writes jobs/benchmarks/RESULTS.md, PREDICTIONS.md
	$(BIN)/python jobs/benchmarks/run_all.py
	cd jobs/benchmarks && ../../$(BIN)/python -m scaling.predict

.PHONY: peers
peers: install  ## create the environments of the peers beforehand that `make bench` measures ours against
	$(BIN)/python jobs/benchmarks/common/peers.py

.PHONY: bench-methods
bench-methods: install  ## run every comparison of methods; fails unless all they expect holds
	$(BIN)/python jobs/methods/bench.py

.PHONY: truth
truth: install  ## train every architecture of a small space alone, on two tasks; writes jobs/nas/truth*.csv
	$(BIN)/python jobs/nas/truth.py

CHAOS_FAULTS ?= 30
CHAOS_SEED ?= 0

.PHONY: chaos
chaos: install  ## send one job through faults of all kinds and judge it; CHAOS_FAULTS=30 CHAOS_SEED=0
	PYTHONPATH=jobs $(BIN)/python -m chaos --faults $(CHAOS_FAULTS) --seed $(CHAOS_SEED)

.PHONY: docs
docs: install  ## write the catalogue of methods, and schema and plugin list to build/docs
	$(BIN)/python jobs/methods/catalogue.py
	$(BIN)/trainwright schema --output build/docs/job.schema.json
	$(BIN)/trainwright list --json > build/docs/plugins.json

.PHONY: k8s
k8s: install  ## write the overlays' jobs, the page on profiles, and the rendered jobs of the tests
	$(BIN)/python k8s/generated.py

.PHONY: lock
lock:  ## renew constraints.txt from a fresh environment (needs the network)
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet -e ".[dev]" "torch==2.13.0"
	build/lock/bin/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt
	rm -rf build/lock

.PHONY: clean
clean:  ## remove what the targets made, but no runs
	rm -rf build dist $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.PHONY: help
help:  ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
