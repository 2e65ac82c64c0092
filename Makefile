# Set-up and the usual commands. `make` alone lists them.
PYTHON ?= python3
CORES ?= all
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
export HF_HUB_DISABLE_TELEMETRY := 1

.DEFAULT_GOAL := help
.PHONY: help run test test-slurm lint docs lock format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/path.done ## set up, run the default study, say where the report is
	@$(BIN)/snakemake --cores $(CORES)
	@echo "report: $(CURDIR)/results/report.html"

test: $(VENV)/test.done ## set up and pass the tests
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal

test-slurm: $(VENV)/test.done ## pass the tests that need Slurm (packages: tests/slurm/packages.txt)
	@$(BIN)/python -m pytest -q tests/slurm

lint: $(VENV)/test.done ## formatting and static checks alone
	@$(BIN)/python -m pytest -q tests/test_style.py

docs: $(VENV)/test.done ## write the generated pages and schemas anew (after `make run`)
	@$(BIN)/python -m tunescape.config
	@$(BIN)/python -m tunescape.schemas
	@$(BIN)/python tests/workflow/readme.py

lock: ## resolve envs/requirements*.in to the pinned lists anew
	@sh envs/lock.sh

format: $(VENV)/test.done ## format rules and Python
	@$(BIN)/ruff check --quiet --fix . && $(BIN)/ruff format --quiet . && $(BIN)/snakefmt --quiet Snakefile rules

clean: ## remove what the workflow wrote (the environment stays)
	rm -rf results/* work .snakemake

$(VENV)/run.done: envs/lock.txt envs/lock-nodeps.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "make: Python >= 3.11 is needed, $(PYTHON) is %d.%d; say PYTHON=python3.x" % sys.version_info[:2])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the pinned packages into $(VENV) (some minutes the first time)"
	@$(PIP) -r envs/lock.txt
	@$(PIP) --no-deps -r envs/lock-nodeps.txt
	@touch $@

# So that `python -m tunescape.audit` and its like work wherever the environment is active.
$(VENV)/path.done: $(VENV)/run.done
	@$(BIN)/python -c 'import sysconfig, pathlib; pathlib.Path(sysconfig.get_path("purelib"), "tunescape.pth").write_text("$(CURDIR)/scripts\n")'
	@touch $@

$(VENV)/test.done: $(VENV)/path.done envs/lock-dev.txt
	@$(PIP) -r envs/lock-dev.txt
	@touch $@
