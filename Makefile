# `make demo` and `make test` set everything up by themselves; `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
PY := $(VENV)/bin/python
BUILD ?= build
PEERS ?= ../shared/bench
SOAK ?= 100000
CMAKE = $(VENV)/bin/cmake
NINJA = $(VENV)/bin/ninja
export PATH := $(CURDIR)/bin:$(CURDIR)/$(VENV)/bin:$(PATH)
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: help setup build demo test test-native test-python sanitize fuzz docs clean bench bench-table bench-table-limits bench-table-op bench-table-tools bench-checkpoint bench-stream bench-train bench-logistic bench-start bench-kafka bench-serving experiment-collision bench-layouts bench-layers bench-optimizers

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 24

setup: $(VENV)/.ready ## the Python environment with everything the build and the tests need

$(VENV)/.ready: pyproject.toml requirements-dev.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

build: setup ## the native core, the extension, the TensorFlow ops and the protobuf classes, into the checkout
	$(CMAKE) -S . -B $(BUILD) -G Ninja -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(NINJA) -DPython_EXECUTABLE=$(CURDIR)/$(PY) -DMONOLITH_TESTS=ON >$(BUILD).log || { cat $(BUILD).log; exit 1; }
	$(NINJA) -C $(BUILD) --quiet
	$(CMAKE) --install $(BUILD) --prefix . >/dev/null

demo: build ## the main job end to end: make samples, filter, train, evaluate, predict
	examples/movielens/demo.sh

test: test-native test-python ## all tests

test-native: build ## the tests of the core
	$(VENV)/bin/ctest --test-dir $(BUILD) --output-on-failure

test-python: build ## the tests of commands, library and packaging
	$(PY) -m pytest -q -n logical --maxprocesses 6 --dist loadfile tests

sanitize: setup ## the native tests under address, undefined-behaviour and thread sanitizers
	for s in address,undefined thread; do d=$(BUILD)-$${s%%,*}; \
	  $(CMAKE) -S . -B $$d -G Ninja -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(NINJA) -DMONOLITH_PYTHON=OFF -DMONOLITH_TENSORFLOW=OFF -DMONOLITH_TESTS=ON -DMONOLITH_SANITIZE=$$s >/dev/null && \
	  $(NINJA) -C $$d --quiet && $(VENV)/bin/ctest --test-dir $$d --output-on-failure || exit 1; done

FUZZ_SECONDS ?= 600
fuzz: setup ## every fuzzer for FUZZ_SECONDS (600) each; needs clang++
	FUZZ_SECONDS=$(FUZZ_SECONDS) native/fuzz/run.sh

experiment-collision: build ## AUC by training progress, ids apart against ids hashed into fewer rows
	$(PY) experiments/collision/run.py

bench: bench-table bench-checkpoint bench-stream bench-train bench-logistic bench-layers bench-start ## the speed table, each subject beside its peers
bench-table: build
	$(PY) benchmarks/table.py --build $(BUILD) --peers $(PEERS)
bench-table-limits: build ## what lookups of any table could reach, by where keys and rows lie
	for n in 1000000 10000000; do $(BUILD)/native/bench/table_limits_bench $$n || exit 1; done
bench-table-op: build ## the TensorFlow ops of the table beside the core
	$(PY) benchmarks/table_op.py --build $(BUILD)
bench-table-tools: build ## the table commands on 2 M rows, beside cat and Python's protobuf
	$(PY) benchmarks/table_tools.py
bench-checkpoint: build
	$(PY) benchmarks/table_checkpoint.py --build $(BUILD)
bench-stream: build
	$(PY) benchmarks/stream.py --peers $(PEERS)
bench-train: build
	$(PY) benchmarks/train.py --peers $(PEERS)
bench-logistic: build
	$(PY) benchmarks/logistic.py
bench-layouts: build ## layouts by one op beside TensorFlow's own
	PYTHONPATH=. $(PY) benchmarks/layouts.py
bench-kafka: build ## Kafka beside kcat and the client libraries; fetches a broker
	$(PY) benchmarks/kafka.py
bench-serving: build ## monolith-serve beside the SavedModel called in process, and a soak (SOAK=1000000: the whole of it)
	$(PY) benchmarks/serving.py --soak $(SOAK)
bench-layers: build ## a training step of DLRM, DCN and DIN beside Keras 3 and PyTorch
	$(PY) benchmarks/layers.py
bench-optimizers: build ## a step of the dense optimizers beside TensorFlow's fused Adam
	PYTHONPATH=. $(PY) benchmarks/optimizers.py
bench-start: build
	$(PY) benchmarks/start.py

docs: build ## man pages and completion, made from the commands
	PYTHONPATH=. $(PY) -m monolith_cli.commands.manpage .

clean: ## what the build made
	rm -rf $(BUILD) $(BUILD)-* $(BUILD).log monolith_cli/_native monolith_protos
