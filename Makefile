# make demo | test | test-fast | lint | bench: each sets up what it needs in .venv. Needs Python 3.11 or newer, nothing else.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint envs/constraints.txt
SNAKEMAKE := $(BIN)/snakemake --profile profiles/laptop
SLURM_PACKAGES := slurmctld slurmd slurm-client munge slurmdbd mariadb-server-core
PATIENCE := -o Acquire::Retries=1 -o Acquire::http::Timeout=20
export PYTHONPATH := workflow

.PHONY: demo test test-fast test-slurm cluster slurm-packages lint bench exact models readme constraints

# All parts of the demo, or one: make demo ONLY=training. Later files count, so the videos' come last.
DEMO := latents volumes training videos
PARTS := $(or $(ONLY),$(DEMO))
demo: .venv/run
	$(if $(filter latents,$(PARTS)),$(BIN)/python -m longtake.latents.demo results/demo/media/latents)
	$(if $(filter volumes,$(PARTS)),$(BIN)/python -m longtake.demo.oct results/demo/media/volumes)
	$(SNAKEMAKE) --configfile $(patsubst %,config/demo/%.yaml,$(PARTS))
	@echo "Open results/demo/report.html; the tables and figures lie in results/demo (see results/README.md)."

# Where no SLURM can be installed, the tests that start one are skipped, and say what is missing.
test: .venv/dev
	@$(MAKE) --no-print-directory slurm-packages || echo "No SLURM packages: the tests that start one are skipped."
	$(BIN)/python -m pytest --numprocesses 2

# While writing: the library alone, without what takes long.
test-fast: .venv/dev
	$(BIN)/python -m pytest --numprocesses 2 -m "not slow and not own_process" tests/unit

# The workflow through a SLURM that the tests start and stop; here it must be possible.
test-slurm: .venv/dev slurm-packages
	LONGTAKE_REQUIRE_SLURM=1 $(BIN)/python -m pytest tests/slurm

# A SLURM on this machine to try the profile on, without a cluster; it says how, and ends with Ctrl-C.
cluster: .venv/dev slurm-packages
	$(BIN)/python tests/slurm/cluster.py

# As root on Debian or Ubuntu this installs what a SLURM of one's own needs.
slurm-packages:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! dpkg -s $(SLURM_PACKAGES) >/dev/null 2>&1; then \
		apt-get $(PATIENCE) -qq update && DEBIAN_FRONTEND=noninteractive \
		apt-get $(PATIENCE) -qq install -y --no-install-recommends $(SLURM_PACKAGES); fi

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint --configfile $(patsubst %,config/demo/%.yaml,$(filter-out latents volumes,$(DEMO)))

# Cut a video into window jobs, run it uncut, and print the largest difference: V=video P=prompts, or a demo pond.
exact: .venv/run
	$(BIN)/python benchmarks/exact.py --backward --half $(if $(V),--video $(V) --prompts $(P))

bench: .venv/dev
	$(BIN)/python benchmarks/reader.py
	$(BIN)/python benchmarks/annotate.py
	$(BIN)/python benchmarks/objects.py
	$(BIN)/python benchmarks/continuity.py
	$(BIN)/python benchmarks/scale.py
	$(BIN)/python benchmarks/gradients.py
	$(BIN)/python benchmarks/random_nets.py
	$(BIN)/python benchmarks/streaming.py
	$(BIN)/python benchmarks/tight.py
	$(BIN)/python benchmarks/forecast.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/latents.py
	$(BIN)/python benchmarks/latents_typical.py
	$(BIN)/python benchmarks/volumes.py

# Train the embedded models again, from their seeds (about an hour and a half on two cores).
models: .venv/run
	PYTHONPATH=workflow:benchmarks $(BIN)/python -m trainers.train_tracker --out workflow/models/sam2-pond
	PYTHONPATH=workflow:benchmarks $(BIN)/python -m trainers.train_classifier --out workflow/models/clip31-pond
	PYTHONPATH=workflow:benchmarks $(BIN)/python -m trainers.train_oct --out workflow/models/volume-oct

# Write the documents that are made from their sources.
readme: .venv/run
	$(BIN)/python benchmarks/document.py

constraints: .venv/dev
	(sed -n 1p envs/constraints.txt; $(BIN)/pip freeze | sed 's/+cpu//' | grep -v '^nvidia\|^torch==') > envs/constraints.new
	mv envs/constraints.new envs/constraints.txt

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "longtake needs Python 3.11 or newer; set PYTHON=python3.11")'
	$(PYTHON) -m venv .venv || (echo "On Debian and Ubuntu: sudo apt-get install python3-venv"; rm -rf .venv; exit 1)

.venv/run: envs/requirements.txt envs/constraints.txt | .venv/bin/python
	$(PIP) --requirement envs/requirements.txt
	@touch $@

.venv/dev: envs/requirements-dev.txt envs/requirements-nodeps.txt envs/requirements.txt envs/constraints.txt | .venv/bin/python
	$(PIP) --requirement envs/requirements-dev.txt
	$(PIP) --no-deps --requirement envs/requirements-nodeps.txt
	@touch .venv/run $@
