# eibench: every command a user or a CI runner needs. Needs Python >= 3.11 and make, nothing else.
PYTHON ?= python3
BIN := .venv/bin
CORE := quickstart propagation depth_scaling ei_components fashion_muon
PACKED := $(notdir $(patsubst %/runs.tar.xz,%,$(wildcard results/evidence/*/runs.tar.xz)))
ALL := $(filter $(basename $(notdir $(wildcard suites/*.yaml))),$(PACKED))
SUITES ?= $(CORE)
JOBS ?= $(shell getconf _NPROCESSORS_ONLN)
FRESH := build/reproduce
PACK = $(BIN)/eibench results pack $$(printf "$(FRESH)/%s " $$ran) --out results/evidence --replace
PROFILES := results/performance
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal
NARROW := 16 16 P 32 32 P 64 64 P 64 64
SWEEPS := --depths 2,4,8,16 --times 1,2,4,8 --batch-sizes 8,16,32,64

.NOTPARALLEL:  # the runs of a suite are parallel already
.PHONY: quickstart test test-fast test-ray fuzz conformance lint fix reproduce reproduce-all tier-core tier-all tables profile profile-gpu docs site figures clean

quickstart: .venv/.run  ## the main job on digits: train four methods, print the table
	OMP_NUM_THREADS=1 $(BIN)/eibench run suites/quickstart.yaml --results build --jobs $(JOBS)

test: .venv/.test  ## the whole test suite
	$(PYTEST)

test-fast: .venv/.test  ## without the slow tests
	$(PYTEST) -m "not slow"

test-ray: .venv/.ray  ## runs on Ray clusters of this machine, which `make test` skips
	$(BIN)/python -m pytest tests/execution/test_slots.py tests/execution/test_ray_commands.py

fuzz: .venv/.test  ## 20,000 damaged suites and results: planned, read or refused, never a traceback
	EIBENCH_FUZZ=20000 $(PYTEST) tests/fuzz

conformance: .venv/.conformance  ## layers against SpikingJelly's and snnTorch's
	$(BIN)/python -m pytest tests/conformance

lint: .venv/.dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: .venv/.dev  ## what ruff can mend by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

reproduce: $(SUITES:%=reproduce-%)  ## run SUITES again (without: the core tier) and check claims by what they give; UPDATE=1 makes it the evidence
	@for one in $(SUITES); do if [ -d results/evidence/$$one-cost ] && [ -d $(FRESH)/$$one ]; then \
	$(BIN)/eibench cost suites/$$one.yaml --results $(FRESH) >$(FRESH)/$$one.txt || [ $$? -eq 1 ] || exit; fi; done
	@ran=$$(cd $(FRESH) && ls -d $(SUITES) $(SUITES:%=%-*) 2>/dev/null); test -n "$$ran" || exit 0; \
	$(BIN)/eibench tables $$ran --live --results $(FRESH) || exit; \
	code=0; $(BIN)/eibench verify $$ran --results $(FRESH) --compare results/evidence || code=$$?; \
	$(if $(filter 1,$(UPDATE)),$(PACK) && $(BIN)/eibench tables $$ran &&) exit $$code

reproduce-all:  ## every suite that has evidence
	$(MAKE) reproduce SUITES="$(ALL)"

# One run for each core, with one thread. A suite without its data set is skipped. Exit code 1: some runs failed; they are rows of the table.
reproduce-%: .venv/.run
	OMP_NUM_THREADS=1 $(BIN)/eibench $$(grep -q '^search:' suites/$*.yaml && echo search || echo run) suites/$*.yaml --results $(FRESH) --jobs $(JOBS) --skip-absent || [ $$? -eq 1 ]

tier-core:  # for the workflow
	@echo $(CORE)

tier-all:
	@echo $(ALL)

tables: .venv/.run  ## tables and figures of results/evidence, from its records alone; those that are up to date are left
	$(BIN)/eibench tables

profile: .venv/.conformance  ## what a training step costs on this machine's CPU; a quiet machine, please
	$(BIN)/eibench profile --model vgg8 --device cpu --peer --steps 30 $(SWEEPS) --json --out $(PROFILES)/vgg8_cpu > vgg8_cpu.json
	$(BIN)/eibench profile --model vgg8 --device cpu --methods ei,ei-blanket,batchnorm,no_norm --steps 30 --json > blanket_cpu.json
	OMP_NUM_THREADS=1 $(BIN)/eibench profile --model vgg --set "model.layout=$(NARROW)" --data fashion_mnist --batch-size 64 --device cpu --methods ei,ei-blanket,batchnorm,weight_standardization,groupnorm,no_norm --steps 30 --json > narrow_cpu.json
	mv vgg8_cpu.json blanket_cpu.json narrow_cpu.json $(PROFILES)/

profile-gpu: .venv/.conformance  ## the same on a GPU: VGG-8, VGG-16, ResNet-18, fp32 and bf16; and that no step waits for it
	$(BIN)/python -m pytest tests/nn/test_triton.py
	for model in vgg8 vgg16 resnet18; do for precision in fp32 bf16; do \
	  $(BIN)/eibench profile --model $$model --set train.precision=$$precision --batch-size 128 --device cuda --steps 50 $(SWEEPS) --json > $${model}_gpu_$$precision.json \
	  && mv $${model}_gpu_$$precision.json $(PROFILES)/ || exit; done; done

docs: .venv/.test  ## the generated parts of README.md and docs/
	$(BIN)/cog -r -I docs README.md docs/architecture.md docs/suites.md docs/tables.md docs/findings.md docs/performance.md docs/claims.md docs/reproduce.md docs/methods.md

site: .venv/.test  ## the pages of docs/ as a site, in build/site
	$(BIN)/python -m sphinx -q -W --keep-going docs build/site

figures: .venv/.test  ## the pictures of docs/
	$(BIN)/python docs/draw_differences.py
	$(BIN)/python docs/draw_recordings.py
	$(BIN)/python docs/draw_terminal.py

clean:  ## everything that was installed or built
	rm -rf .venv build *.egg-info

# One stamp for each set of extras; a changed pyproject.toml installs again.
.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.run: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/.test: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $@ .venv/.run

.venv/.conformance: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable ".[test,conformance]"
	touch $@ .venv/.run .venv/.test

.venv/.ray: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable ".[test,ray]"
	touch $@ .venv/.run .venv/.test

.venv/.dev: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@ .venv/.run .venv/.test
