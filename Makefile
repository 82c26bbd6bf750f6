# What a person types. Each target is a script that says what it does; this file only names them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.PHONY: help install lint format test fuzz e2e images slim-agent chart lock cluster-up cluster-down cluster-env demo demo-down clean conformance slimproof kernels bench soak

help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: ## Bring what apt and pip have to bring, and make .venv
	@scripts/install

lint: install ## ruff, mypy, import-linter, shellcheck, Dockerfiles
	@scripts/lint

format: install ## Let ruff write the code as it should look
	@.venv/bin/ruff check --quiet --fix . ; .venv/bin/ruff format .

test: install ## Lint, then every test that needs no cluster (arguments: make test T="tests/chart -k rbac")
	@scripts/test $(T)

fuzz: install ## Mutated input for what decodes records, reports and bodies, for so long: make fuzz SECONDS=600
	@scripts/fuzz $(or $(SECONDS),60)

conformance: install ## What `snoop trace` reports against what strace and fanotify see (root; make conformance T=--core)
	@tests/conformance/provide
	@tests/conformance/run --all-needed $(T)

slimproof: install ## Real applications traced, slimmed and run again in what is left of their images (root; make slimproof T=--core)
	@tests/slimproof/run $(T)

kernels: install ## The conformance core on Debian's 5.10, 6.1, 6.12 and 7.2 kernels in QEMU (root; about an hour; T="--kernel 6.1")
	@tests/kernels/matrix $(T)

bench: install ## What Snoop costs, row by row beside its targets (root, a quiet machine; T="--only overhead,start --rounds 3")
	@tests/bench/run $(T)

soak: install ## One pod under constant load for 10 minutes: the agent's memory stays flat (root; T="--seconds 60")
	@tests/bench/run --soak $(T)

e2e: install ## The tests that need a cluster: brings it up, builds the images, runs tests/e2e
	@scripts/e2e $(T)

images: install ## Build both images; print their sizes, layer by layer
	@scripts/images

slim-agent: install ## The agent's own image, slimmed by Snoop on a cluster (make slim-agent T=--e2e: and tested)
	@scripts/slim-agent $(T)

chart: ## Copy crds/snoopprofile.yaml into the chart
	@scripts/chart

lock: ## Pin the Python dependencies anew (requirements/*.txt)
	@scripts/lock

cluster-up: ## A real Kubernetes on this machine (root; about 10 minutes the first time, seconds after)
	@tests/cluster/up

cluster-down: ## Stop it; nothing stays behind but the cache
	@tests/cluster/down

cluster-env: ## The export lines for it: eval "$$(make -s cluster-env)"
	@tests/cluster/env

demo: install ## From nothing to `kubectl get snoopprofiles`, with nginx and a pod of two containers
	@scripts/demo

demo-down: ## Undo make demo
	@scripts/demo-down

clean: ## Remove .venv and what tools left in the checkout
	@rm -rf .venv .demo *.egg-info build .mypy_cache .ruff_cache .pytest_cache .hypothesis .fuzz .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
