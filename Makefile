# Everything runs from this folder and by relative paths, so that a path with spaces works.

PYTHON ?= python3
# The generator of the stubs has no wheels for Python 3.13 and later.
STUBS_PYTHON ?= $(PYTHON)
ARGS ?=

GRPCIO_TOOLS_VERSION := 1.62.3

PROTOS := $(wildcard protos/sessionhistory/v1/*.proto)
PIP := -m pip install --disable-pip-version-check --no-input

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

.PHONY: protos
protos: .tools/stubs/ready ## Regenerate the Python stubs from the contract
	@$(generate-stubs)
	@rm -f client/sessionhistory/v1/*_pb2*
	@cp .tools/stubs/out/sessionhistory/v1/* client/sessionhistory/v1/

define generate-stubs
rm -rf .tools/stubs/out && mkdir .tools/stubs/out && \
.tools/stubs/bin/python -W ignore -m grpc_tools.protoc -I protos --python_out=.tools/stubs/out \
	--pyi_out=.tools/stubs/out --grpc_python_out=.tools/stubs/out $(PROTOS)
endef

# setuptools: the generator imports pkg_resources, which later ones no longer carry.
.tools/stubs/ready: Makefile
	@echo "Installing the generator of the stubs (grpcio-tools $(GRPCIO_TOOLS_VERSION))"
	@$(STUBS_PYTHON) -m venv --clear .tools/stubs
	@.tools/stubs/bin/python $(PIP) --quiet --only-binary :all: \
		"grpcio-tools==$(GRPCIO_TOOLS_VERSION)" "setuptools<81" || { \
		echo "grpcio-tools $(GRPCIO_TOOLS_VERSION) has wheels for Python 3.11 and 3.12 only;" \
			"name one of these: make protos STUBS_PYTHON=python3.12" >&2; exit 1; }
	@touch $@
