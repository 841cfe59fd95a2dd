# One command each; the set-up is part of them. Needs Rust (https://rustup.rs) and Python 3.11 or newer.
# GNU make 3.81 and newer, Linux and macOS. On Windows: scripts/setup.ps1.

.DEFAULT_GOAL := help
.PHONY: help demo test test-rust test-python test-torch lint format bench fuzz sanitize damages kills validate-1gb claims sizes \
	vectors docs build clean

# The first Python that is new enough; `make PYTHON=…` names another one.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
VENV := $(CURDIR)/.venv
TORCH := $(CURDIR)/.venv-torch
BIN := $(VENV)/bin
# pyo3 is compiled once, against one Python.
export PYO3_PYTHON := $(BIN)/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_QUIET := 1
TYPED := python/mmh_rs spec/decoder.py spec/vectors/make.py scripts benches
FUZZ_SECONDS ?= 30

help: ## show this
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: build ## compress a model, list, verify, restore, compare, damage a copy (FILE=model.safetensors for your own)
	@$(BIN)/python scripts/demo.py $(if $(FILE),"$(FILE)")

test: test-rust test-python ## all tests but those that need PyTorch (MMH_CORPUS=DIR adds those on real weights)

test-rust: $(VENV)/.installed
	cargo test --locked -q -p mmh-kernels -p mmh-core
	MMH_SIMD=scalar cargo test --locked -q -p mmh-kernels
	MMH_SIMD=avx2 cargo test --locked -q -p mmh-kernels

# The vectors once more on each set of instructions; a set that the CPU does not have falls back to the best it has.
test-python: build
	$(BIN)/python -m pytest
	MMH_SIMD=scalar $(BIN)/python -m pytest -q tests/test_vectors.py
	MMH_SIMD=avx2 $(BIN)/python -m pytest -q tests/test_vectors.py

test-torch: build $(TORCH)/.installed ## the tests that need PyTorch, in an environment of their own (a large download)
	$(TORCH)/bin/python -c 'import torch; print("torch", torch.__version__)'
	$(TORCH)/bin/python -m pytest tests/python/test_torch.py tests/python/test_examples.py tests/python/test_safe_open.py \
		tests/python/test_sources.py tests/python/test_generate_torch.py

lint: $(VENV)/.installed ## formatting, clippy, ruff, mypy
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(TYPED)

format: $(VENV)/.installed ## format everything
	cargo fmt --all
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: build $(TORCH)/.bench ## mmh bench on real weights (fetches 1.1 GB once; ARGS=--update-readme)
	$(TORCH)/bin/python benches/run.py $(ARGS)

# The targets are the files: none is forgotten.
fuzz: ## each fuzz target for FUZZ_SECONDS (30)
	@cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
	@$(PYTHON) fuzz/seeds.py
	@for target in $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs))); do \
		echo "== $$target" && RUSTC_BOOTSTRAP=1 cargo fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) \
			-timeout=30 -rss_limit_mb=2048 $(FUZZ_ARGS) || exit 1; \
	done

sanitize: ## the tests of the kernels with AddressSanitizer
	RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address cargo test --locked -q -p mmh-kernels --lib \
		--target $(shell rustc -vV | sed -n 's/^host: //p') --target-dir target/sanitize

damages: build ## ten thousand random damages of protected and unprotected files (ARGS="FILE … --count N")
	$(BIN)/python scripts/damages.py $(ARGS)

kills: build ## SIGKILL at random moments: nothing half written under a final name (ARGS="--kills N")
	$(BIN)/python scripts/kills.py $(ARGS)

validate-1gb: build ## 1 GB generated, compressed, verified, damaged, repaired, restored, compared (ARGS="--gb 8")
	$(BIN)/python scripts/validate_1gb.py $(ARGS)

claims: build ## what is claimed, measured again: docs/claims.md (CORPUS=DIR)
	$(BIN)/python benches/claims.py $(or $(CORPUS),$(HOME)/.cache/mmh-rs-corpus) $(ARGS)

sizes: build $(TORCH)/.bench ## whole files beside others' sizes: docs/sizes.md (an hour the first time; CORPUS=DIR)
	MMH_CORPUS=$(or $(CORPUS),$(HOME)/.cache/mmh-rs-corpus) $(TORCH)/bin/python benches/whole_files.py \
		--kept benches/corpus/sizes.json --write $(ARGS)

vectors: build ## add the vectors that spec/vectors/make.py describes and that are not there yet
	$(BIN)/python spec/vectors/make.py

docs: build $(VENV)/.docs ## the documentation as a site, in site/
	$(BIN)/python scripts/reference.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "site/index.html"

# Cargo knows what has to be compiled again.
build: $(VENV)/.installed
	@VIRTUAL_ENV=$(VENV) $(BIN)/maturin develop --quiet --release --locked --skip-install

$(VENV)/.installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed (make PYTHON=/path/to/python3)" >&2; exit 1; }
	@command -v cargo >/dev/null || { echo "Rust is needed: https://rustup.rs" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip 'maturin>=1.9.4,<2'
	VIRTUAL_ENV=$(VENV) $(BIN)/maturin develop --release --locked --extras dev
	@touch $@

$(VENV)/.docs: $(VENV)/.installed
	VIRTUAL_ENV=$(VENV) $(BIN)/maturin develop --release --locked --extras docs
	@touch $@

# It shares the compiled module with the other environment: the module is the same for every CPython from 3.11 on.
$(TORCH)/.installed: pyproject.toml $(VENV)/.installed
	$(PYTHON) -m venv $(TORCH)
	$(TORCH)/bin/python -m pip install --quiet --upgrade pip 'maturin>=1.9.4,<2'
	VIRTUAL_ENV=$(TORCH) $(TORCH)/bin/maturin develop --release --locked --extras dev,torch,safetensors
	@touch $@

# ZipNN needs PyTorch, so the rivals live there too.
$(TORCH)/.bench: $(TORCH)/.installed
	VIRTUAL_ENV=$(TORCH) $(TORCH)/bin/maturin develop --release --locked --extras bench
	@touch $@

clean: ## remove everything that was built, fetched or set up
	rm -rf .venv .venv-torch target fuzz/target fuzz/corpus fuzz/artifacts demo-out site benches/corpus/data
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find python -name '_core*.so' -delete
	find python tests benches scripts spec -name __pycache__ -type d -prune -exec rm -rf {} +
