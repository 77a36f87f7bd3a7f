# `make demo` shows the product at work; `make test` runs every test. `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PY := .venv/bin/python
export PATH := $(CURDIR)/.venv/bin:$(PATH)

help: ## List the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name what; do printf '  make %-11s %s\n' "$$name" "$$what"; done

setup: ## Install what the project needs into .venv (Python 3.11 or newer is all it takes)
	@tools/setup

demo: setup ## A real model answers on a real Kubernetes [DEVICE=CPU|GPU] [TEXT="…"] [CLUSTER=current IMAGE=…]
	@$(PY) -m tools.demo up

demo-down: setup ## Take the demo's cluster away, without a trace
	@$(PY) -m tools.demo down

test: setup check cluster-images test-servers ## Run every test
	$(PY) -m pytest -m 'not cluster' -n 2 --dist worksteal
	$(PY) -m pytest -m cluster

bench: setup ## vinoserve beside its peers and the limits, 20 minutes [MODEL=FILE] [CLUSTER=1] [KEEP=1]
	@$(PY) -m benchmarks run $(if $(MODEL),--model $(MODEL)) $(if $(KEEP),--keep)
	@$(if $(CLUSTER),$(PY) -m benchmarks cluster $(if $(KEEP),--keep))

bench-smoke: setup ## Every part of the benchmarks once and shortly: for whether they work
	@$(PY) -m benchmarks run --smoke

soak: setup cluster-images test-servers ## The long forms of the tests: floods, fuzzing, fleets
	VINOSERVE_SOAK=1 $(PY) -m pytest tests/robustness tests/runtime/rest tests/runtime/http2 tests/e2e/test_fleet.py

check: setup ## Lint, types, layers, and whether generated files are current
	ruff check
	ruff format --check
	mypy
	lint-imports --no-logo
	$(PY) -m tools.generate --check

generate: setup ## Write the CRDs, the references, the chart's README and the gRPC messages anew from what they are made of
	$(PY) -m tools.generate

lock: setup ## Resolve the dependencies anew into requirements/*.lock
	tools/lock

cluster-images: setup
	@tools/devcluster/devcluster build
	@tools/images/images operator runtime runtime-gpu-emulated

test-servers: setup
	@$(PY) -m tools.servers

.PHONY: help setup demo demo-down test bench bench-smoke soak check generate lock cluster-images test-servers
