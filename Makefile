# Each target sets up what it needs: a virtual environment in .venv and, as root on Debian, missing packages. Each says so
# first. `make run` installs only what the exporter needs to run; the others add the tools for development.

PYTHON ?= python3
ARGS ?=
BUILDER ?= docker build

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
MADE_BY := $(VENV)/.python
RUNNABLE := $(VENV)/.runnable
READY := $(VENV)/.ready
GENERATORS := $(sort $(wildcard tools/gen_*.py))
DOCS := $(filter-out tools/gen_proto.py,$(GENERATORS))
LOCK := $(BIN)/uv pip compile --quiet --generate-hashes --no-header --universal --python-version 3.11

SBOM := dist/sbom.cdx.json

# A file's tests run in one process, one after another; the first files, those of real processes, take longest.
PARALLEL := --numprocesses=auto --dist=loadfile --no-loadscope-reorder

# What a target needs of the machine, each with the Debian packages that bring it.
COMPILER := gcc=gcc,libc6-dev
TEST_NEEDS := $(COMPILER) openssl=openssl promtool=prometheus prometheus=prometheus chromium=chromium mount=mount \
	librocm_smi64.so.1=librocm-smi64-1
IMAGE_TEST_NEEDS := $(COMPILER) debootstrap=debootstrap buildah=buildah podman=podman runc=runc \
	qemu-x86_64-static=qemu-user-static,binfmt-support qemu-aarch64-static=qemu-user-static,binfmt-support
RELEASE_NEEDS := buildah=buildah

.PHONY: help run test fuzz image-test bench soak check fix proto docs requirements sbom image release packages FORCE
.DEFAULT_GOAL := help

help: ## List the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

run: $(RUNNABLE) ## Start the exporter, or a simulated node where there is no accelerator: make run ARGS="--once"
	@tools/run-exporter $(BIN)/accelerator-exporter $(ARGS)

test: NEEDS := $(TEST_NEEDS)
test: packages $(READY) ## Run the tests: make test ARGS="tests/unit -k http"
	@$(BIN)/pytest $(PARALLEL) $(ARGS)

fuzz: NEEDS := $(COMPILER)
fuzz: packages $(READY) ## Run the property tests with 50 times as many examples: make fuzz ARGS="-k http"
	@$(BIN)/pytest --hypothesis-profile=fuzz --timeout=0 tests/property $(ARGS)

image-test: NEEDS := $(IMAGE_TEST_NEEDS)
image-test: packages $(READY) ## Build the image and run it as the manifests do: needs root
	@$(BIN)/pytest -m image $(ARGS)

bench: NEEDS := $(COMPILER)
bench: packages $(READY) ## Measure what the exporter costs: make bench ARGS=--write updates docs/performance.md
	@$(BIN)/python -m bench $(ARGS)

soak: NEEDS := $(COMPILER)
soak: packages $(READY) ## Disturb the exporter and check that nothing grows: make soak ARGS="--minutes 30"
	@$(BIN)/python -m soak $(ARGS)

check: $(READY) ## Format, lint, types, import rules, generated files: changes nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	@set -e; for generator in $(GENERATORS); do echo "$$generator --check"; $(BIN)/python "$$generator" --check; done

fix: $(READY) ## Repair what ruff can repair, and format; fails where something is left to repair by hand
	$(BIN)/ruff check --fix . && repaired=true; $(BIN)/ruff format . && $${repaired:-false}

proto: $(READY) ## Generate the PodResources messages
	$(BIN)/python tools/gen_proto.py

docs: $(READY) ## Generate the reference pages
	@set -e; for generator in $(DOCS); do echo "$$generator"; $(BIN)/python "$$generator"; done

requirements: $(READY) ## Lock the dependencies: make requirements ARGS=--upgrade
	$(LOCK) $(ARGS) pyproject.toml --output-file requirements/run.txt
	$(LOCK) $(ARGS) requirements/build.in --output-file requirements/build.txt
	$(LOCK) $(ARGS) --extra dev --constraints requirements/run.txt --constraints requirements/build.txt pyproject.toml \
		requirements/build.in --output-file requirements/dev.txt

sbom: $(READY) ## List what the exporter is made of, as CycloneDX: dist/sbom.cdx.json
	@mkdir -p $(dir $(SBOM))
	@$(BIN)/cyclonedx-py requirements requirements/run.txt --pyproject pyproject.toml --output-reproducible \
		--short-PURLs --output-file $(SBOM)
	@echo "$(SBOM)"

image: $(READY) ## Build the container image: make image BUILDER="podman build" DIGEST=sha256:...
	@tools/build-image $(BUILDER)

release: NEEDS := $(RELEASE_NEEDS)
release: packages $(READY) ## Build everything of a release into dist/: see docs/releasing.md
	@tools/build-release

packages: # before the Python tools: without root it fails, and then at once
	@tools/require-packages $(NEEDS)

$(READY): requirements/dev.txt pyproject.toml $(MADE_BY)
	@echo "Installing the exporter with the tools for development (requirements/dev.txt) in $(VENV)"
	@$(PIP) --require-hashes --requirement requirements/dev.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $(RUNNABLE) $@

$(RUNNABLE): requirements/run.txt requirements/build.txt pyproject.toml $(MADE_BY)
	@echo "Installing the exporter with what it needs to run (requirements/run.txt) in $(VENV)"
	@$(PIP) --require-hashes --requirement requirements/run.txt --requirement requirements/build.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(MADE_BY): FORCE
	@tools/make-venv $(PYTHON) $(VENV)
