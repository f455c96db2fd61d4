# eibench: every command a user or a CI runner needs. Needs Python >= 3.11 and make, nothing else.
PYTHON ?= python3
BIN := .venv/bin
SUITES := quickstart depth_scaling methods ei_components dale gradient_scale ei_ratio inhibitory_cell batch_size propagation early_training balance_probe events_digits ei_tuned tuned_events relays balanced_events balanced_parts balanced_resnet_rates balanced_resnet balanced_batch balanced_tdbn subtractive_parts subtractive_events
SEARCHES := ei_init_search ei_init_landscape fair_depth_scaling balanced_depth subtractive_depth
FRESH := build/reproduce
EVIDENCE := results/evidence
PROFILES := results/performance
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal
SWEEPS := --depths 2,4,8,16 --times 1,2,4,8 --batch-sizes 8,16,32,64

.PHONY: quickstart test test-fast fuzz conformance lint fix reproduce tables profile profile-gpu docs figures clean

quickstart: .venv/.run  ## the main job on digits: train four methods, print the table
	$(BIN)/eibench run suites/quickstart.yaml --results build
	$(BIN)/eibench report build/quickstart

test: .venv/.test  ## the whole test suite
	$(PYTEST)

test-fast: .venv/.test  ## without the slow tests
	$(PYTEST) -m "not slow"

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

reproduce: $(SUITES:%=reproduce-%) $(SEARCHES:%=search-%)  ## run suites afresh, pack the results as evidence; `make -j2` runs two at once
	$(BIN)/eibench results pack $(FRESH) --out $(EVIDENCE) --replace
	$(MAKE) tables

# One thread for each suite. Exit code 1 of a suite: some runs failed; they are rows of its table.
reproduce-%: .venv/.run
	OMP_NUM_THREADS=1 $(BIN)/eibench run suites/$*.yaml --results $(FRESH) || [ $$? -eq 1 ]

search-%: .venv/.run
	OMP_NUM_THREADS=1 $(BIN)/eibench search suites/$*.yaml --results $(FRESH) || [ $$? -eq 1 ]

tables: .venv/.run  ## tables and figures of results/evidence, from its records alone
	$(BIN)/eibench report $(EVIDENCE)/lr_search --metric validation_accuracy --rows train.lr --columns model.depth,method --format markdown --out $(EVIDENCE)/lr_search/table.md
	$(BIN)/eibench report $(EVIDENCE)/methods_search --metric validation_accuracy --columns train.lr --format markdown --out $(EVIDENCE)/methods_search/table.md
	$(BIN)/eibench report $(EVIDENCE)/quickstart --format markdown --out $(EVIDENCE)/quickstart/table.md
	$(BIN)/eibench report $(EVIDENCE)/depth_scaling --format markdown --out $(EVIDENCE)/depth_scaling/table.md
	$(BIN)/eibench report $(EVIDENCE)/depth_scaling --format latex --out $(EVIDENCE)/depth_scaling/table.tex
	$(BIN)/eibench report $(EVIDENCE)/depth_scaling --format csv --out $(EVIDENCE)/depth_scaling/table.csv
	$(BIN)/eibench report $(EVIDENCE)/methods --format markdown --out $(EVIDENCE)/methods/table.md
	$(BIN)/eibench report $(EVIDENCE)/methods --format latex --out $(EVIDENCE)/methods/table.tex
	$(BIN)/eibench report $(EVIDENCE)/ei_components --format markdown --out $(EVIDENCE)/ei_components/table.md
	$(BIN)/eibench report $(EVIDENCE)/ei_components --format latex --out $(EVIDENCE)/ei_components/table.tex
	$(BIN)/eibench report $(EVIDENCE)/dale --format markdown --out $(EVIDENCE)/dale/table.md
	$(BIN)/eibench report $(EVIDENCE)/gradient_scale --format markdown --out $(EVIDENCE)/gradient_scale/table.md
	$(BIN)/eibench report $(EVIDENCE)/ei_ratio --format markdown --out $(EVIDENCE)/ei_ratio/table.md
	$(BIN)/eibench report $(EVIDENCE)/inhibitory_cell --format markdown --out $(EVIDENCE)/inhibitory_cell/table.md
	$(BIN)/eibench report $(EVIDENCE)/batch_size --format markdown --out $(EVIDENCE)/batch_size/table.md
	$(BIN)/eibench report $(EVIDENCE)/events_digits --format markdown --out $(EVIDENCE)/events_digits/table.md
	$(BIN)/eibench report $(EVIDENCE)/events_digits --format latex --out $(EVIDENCE)/events_digits/table.tex
	$(BIN)/eibench report $(EVIDENCE)/propagation --format markdown --out $(EVIDENCE)/propagation/table.md
	$(BIN)/eibench report $(EVIDENCE)/propagation --metric live_layers --format markdown --out $(EVIDENCE)/propagation/live_layers.md
	$(BIN)/eibench report $(EVIDENCE)/early_training --metric rate_last --format markdown --out $(EVIDENCE)/early_training/table.md
	$(BIN)/eibench report $(EVIDENCE)/balance_probe --metric balance_drift --rows layer --columns method,probe.steps --format markdown --out $(EVIDENCE)/balance_probe/balance_drift.md
	$(BIN)/eibench report $(EVIDENCE)/balance_probe --metric class_signal --rows layer --columns method,probe.steps --format markdown --out $(EVIDENCE)/balance_probe/class_signal.md
	$(BIN)/eibench report $(EVIDENCE)/balance_probe --metric rate_last --format markdown --out $(EVIDENCE)/balance_probe/table.md
	$(BIN)/eibench report $(EVIDENCE)/ei_init_search --format markdown --out $(EVIDENCE)/ei_init_search/table.md
	$(BIN)/eibench report $(EVIDENCE)/ei_init_search --format latex --out $(EVIDENCE)/ei_init_search/table.tex
	$(BIN)/eibench report $(EVIDENCE)/ei_init_landscape --format markdown --out $(EVIDENCE)/ei_init_landscape/table.md
	$(BIN)/eibench report $(EVIDENCE)/ei_tuned --format markdown --out $(EVIDENCE)/ei_tuned/table.md
	$(BIN)/eibench report $(EVIDENCE)/fair_depth_scaling --format markdown --out $(EVIDENCE)/fair_depth_scaling/table.md
	$(BIN)/eibench report $(EVIDENCE)/fair_depth_scaling --format latex --out $(EVIDENCE)/fair_depth_scaling/table.tex
	$(BIN)/eibench report $(EVIDENCE)/fair_depth_scaling --against batchnorm --format markdown --out $(EVIDENCE)/fair_depth_scaling/differences.md
	$(BIN)/eibench report $(EVIDENCE)/fair_depth_scaling --against batchnorm --format latex --out $(EVIDENCE)/fair_depth_scaling/differences.tex
	$(BIN)/eibench report $(EVIDENCE)/balanced_depth --format markdown --out $(EVIDENCE)/balanced_depth/table.md
	$(BIN)/eibench report $(EVIDENCE)/balanced_depth --against batchnorm --format markdown --out $(EVIDENCE)/balanced_depth/differences.md
	$(BIN)/eibench report $(EVIDENCE)/balanced_depth --against batchnorm --format latex --out $(EVIDENCE)/balanced_depth/differences.tex
	$(BIN)/eibench report $(EVIDENCE)/relays --format markdown --out $(EVIDENCE)/relays/table.md
	$(BIN)/eibench report $(EVIDENCE)/tuned_events --format markdown --out $(EVIDENCE)/tuned_events/table.md
	$(BIN)/eibench report $(EVIDENCE)/balanced_events --format markdown --out $(EVIDENCE)/balanced_events/table.md
	$(BIN)/eibench report $(EVIDENCE)/balanced_parts --format markdown --out $(EVIDENCE)/balanced_parts/table.md
	$(BIN)/eibench report $(EVIDENCE)/balanced_parts --format latex --out $(EVIDENCE)/balanced_parts/table.tex
	$(BIN)/eibench report $(EVIDENCE)/balanced_resnet_rates --metric validation_accuracy --columns train.lr --format markdown --out $(EVIDENCE)/balanced_resnet_rates/table.md
	$(BIN)/eibench report $(EVIDENCE)/balanced_resnet --format markdown --out $(EVIDENCE)/balanced_resnet/table.md
	$(BIN)/eibench report $(EVIDENCE)/balanced_batch --format markdown --out $(EVIDENCE)/balanced_batch/table.md
	$(BIN)/eibench report $(EVIDENCE)/balanced_tdbn --format markdown --out $(EVIDENCE)/balanced_tdbn/table.md
	$(BIN)/eibench report $(EVIDENCE)/subtractive_depth --format markdown --out $(EVIDENCE)/subtractive_depth/table.md
	$(BIN)/eibench report $(EVIDENCE)/subtractive_depth --against batchnorm --format markdown --out $(EVIDENCE)/subtractive_depth/differences.md
	$(BIN)/eibench report $(EVIDENCE)/subtractive_depth --against batchnorm --format latex --out $(EVIDENCE)/subtractive_depth/differences.tex
	$(BIN)/eibench report $(EVIDENCE)/subtractive_parts --format markdown --out $(EVIDENCE)/subtractive_parts/table.md
	$(BIN)/eibench report $(EVIDENCE)/subtractive_parts --format latex --out $(EVIDENCE)/subtractive_parts/table.tex
	$(BIN)/eibench report $(EVIDENCE)/subtractive_events --format markdown --out $(EVIDENCE)/subtractive_events/table.md
	$(BIN)/eibench plot $(EVIDENCE)/lr_search --metric validation_accuracy --x train.lr --by method,model.depth --out $(EVIDENCE)/lr_search/figures
	$(BIN)/eibench plot $(EVIDENCE)/methods_search --metric validation_accuracy --x train.lr --out $(EVIDENCE)/methods_search/figures
	$(BIN)/eibench plot $(EVIDENCE)/ei_ratio --x method.ei_ratio --by model --out $(EVIDENCE)/ei_ratio/figures
	$(BIN)/eibench plot $(EVIDENCE)/batch_size --x train.batch_size --out $(EVIDENCE)/batch_size/figures
	$(BIN)/eibench plot $(EVIDENCE)/balanced_resnet_rates --metric validation_accuracy --x train.lr --out $(EVIDENCE)/balanced_resnet_rates/figures
	for suite in quickstart depth_scaling methods ei_components dale gradient_scale inhibitory_cell propagation early_training balance_probe events_digits ei_init_search ei_init_landscape ei_tuned fair_depth_scaling balanced_depth relays tuned_events balanced_events balanced_parts balanced_resnet balanced_batch balanced_tdbn subtractive_depth subtractive_parts subtractive_events; do \
	  $(BIN)/eibench plot $(EVIDENCE)/$$suite --out $(EVIDENCE)/$$suite/figures || exit; done

profile: .venv/.conformance  ## what a training step costs on this machine's CPU; a quiet machine, please
	$(BIN)/eibench profile --model vgg8 --device cpu --peer --steps 30 $(SWEEPS) --json --out $(PROFILES)/vgg8_cpu > vgg8_cpu.json
	$(BIN)/eibench profile --model vgg8 --device cpu --methods ei,ei-balanced,ei-subtractive,batchnorm,no_norm --steps 30 --json --out $(PROFILES)/balanced_cpu > balanced_cpu.json
	mv vgg8_cpu.json balanced_cpu.json $(PROFILES)/

profile-gpu: .venv/.conformance  ## the same on a GPU: VGG-8, VGG-16, ResNet-18, fp32 and bf16; and that no step waits for it
	$(BIN)/python -m pytest tests/nn/test_triton.py
	for model in vgg8 vgg16 resnet18; do for precision in fp32 bf16; do \
	  $(BIN)/eibench profile --model $$model --set train.precision=$$precision --batch-size 128 --device cuda --steps 50 $(SWEEPS) --json > $${model}_gpu_$$precision.json \
	  && mv $${model}_gpu_$$precision.json $(PROFILES)/ || exit; done; done

docs: .venv/.test  ## the generated parts of README.md and docs/
	$(BIN)/cog -r -I docs README.md docs/suites.md docs/findings.md docs/performance.md

figures: .venv/.test  ## the pictures of docs/
	$(BIN)/python docs/draw_recordings.py

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

.venv/.dev: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@ .venv/.run .venv/.test
