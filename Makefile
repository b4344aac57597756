# SPDX-License-Identifier: Apache-2.0
# Every target sets itself up: system packages (installed when root, else named), Python packages in .venv, a build.
SHELL := bash
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
BUILD := build/release
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONPATH := $(CURDIR)/python

help:  ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /make \1\t/' | expand -t 20

demo: build  ## compile, train, test and infer LeNet, timed against PyTorch; DATA_DIR=folder with MNIST's IDX files
	@$(PYTHON) examples/demo.py $(if $(DATA_DIR),--data-dir $(DATA_DIR))

test: build  ## every test and check; ends with "N passed, N failed"; ONLY="unit python" runs these suites
	@$(PYTHON) tools/run_checks.py --build $(BUILD) $(ONLY)

comma := ,
list = $(if $(2),--$(1) $(subst $(comma), ,$(2)))
keep = $(if $(RECORD),--record)
bench: build  ## training and inference of small programs against eager PyTorch and torch.compile, and GEMM speed; ISA=avx2 RECORD=1
	@$(PYTHON) bench/bench.py $(call list,isa,$(ISA)) $(keep) $(BENCH_ARGS)

bench-models: build  ## known architectures against PyTorch, ONNX Runtime, OpenVINO; ROWS="gpt2 lenet" THREADS=1,2 ISA=avx512,avx2 RECORD=1
	@$(PYTHON) bench/models.py $(call list,rows,$(ROWS)) $(call list,threads,$(THREADS)) $(call list,isa,$(ISA)) $(keep) $(BENCH_ARGS)

bench-kernels: build  ## every kernel of these as a fraction of its roofline; ROWS="gpt2" ISA=avx512,avx2,portable RECORD=1
	@$(PYTHON) bench/kernel_times.py $(call list,rows,$(ROWS)) $(call list,isa,$(ISA)) $(keep) $(BENCH_ARGS)

bench-glance: build  ## the fast half of bench-models beside its stored record, within a minute; judges nothing
	@timeout 60 $(PYTHON) bench/glance.py $(BENCH_ARGS)

performance:  ## docs/performance.md of what RECORD=1 has stored in bench/records
	@$(PYTHON) bench/performance.py

bench-memory: build  ## memory and start of some of these beside PyTorch: import, compile, trace, load; ROWS="gpt2"; needs transformers
	@$(PYTHON) bench/memory.py $(call list,rows,$(ROWS)) $(BENCH_ARGS)

bench-compile: build  ## how long every known architecture takes to compile, GPT-2 of 1.5B parameters too; ROWS="gpt2"; needs transformers
	@$(PYTHON) bench/compile.py $(if $(ROWS),--rows $(subst $(comma), ,$(ROWS))) $(BENCH_ARGS)

bench-agreement: build  ## bits of these over threads and levels, and losses of 100 steps beside PyTorch's; ROWS="gpt2"; needs transformers
	@$(PYTHON) bench/agreement.py $(call list,rows,$(ROWS)) $(BENCH_ARGS)

bench-ops: build  ## one op a row, with and without its gradient, against PyTorch; ROWS="elu softmax" ISA=avx2 RECORD=1 BENCH_ARGS="--all --json FILE"
	@$(PYTHON) bench/ops.py $(call list,rows,$(ROWS)) $(call list,isa,$(ISA)) $(keep) $(BENCH_ARGS)

conformance: build  ## PyTorch's databases of operators and modules beside eager mode, an hour, and docs/conformance.md; ARGS="--ops PATTERN --dtype bfloat16"
	@$(PYTHON) tests/conformance/run.py $(ARGS); status=$$?; $(PYTHON) tests/conformance/run.py --report docs/conformance.md && exit $$status

conformance-glance: build  ## a part of it, within three minutes: every 12th entry, two samples each
	@timeout 180 $(PYTHON) tests/conformance/run.py --every 12 --samples 2 --limit 150 $(ARGS)

mutants: build  ## breaks 200 lines of the C core one by one and sees whether the tests notice; takes hours
	@$(PYTHON) tools/mutate_lines.py $(MUTANT_ARGS)

exhaust: build  ## every request for memory that compiling, loading and running make fails once; `make test` takes some hundreds of each
	@ninja -C $(BUILD) tests/c/scarce_test >/dev/null && SCARCE_ALL=1 $(BUILD)/tests/c/scarce_test

lint: build  ## the checks of the source alone: dependency table, shape, symbols, format, ruff
	@$(PYTHON) tools/run_checks.py --build $(BUILD) lint

build: .venv/ready-python  ## the library, the extension and the command, release build, into build/release
	@tools/develop.sh $(BUILD) --quiet -Dbuildtype=release -Dwerror=false

clean:  ## removes builds, results and .venv
	rm -rf build out .venv .cache python/sambaflow/*.so

.venv/ready-system: tools/system-packages.txt tools/setup.sh
	@mkdir -p .venv
	@tools/setup.sh system
	@touch $@

.venv/ready-python: requirements.txt requirements-dev.txt .venv/ready-system
	@tools/setup.sh python
	@touch $@

.PHONY: help demo test bench bench-models bench-kernels bench-glance bench-memory bench-compile bench-agreement bench-ops performance conformance conformance-glance mutants exhaust lint build clean
