# The same words for people and for CI. `make help` lists them.

PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test soak check fix docs clean \
	bench-handler bench-validate bench-release bench-site bench-sync

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## Make .venv with everything that developing needs

demo: $(INSTALLED) ## The whole way: validate, build, publish, serve and ask every model
	@$(VENV)/bin/ms demo

test: $(INSTALLED) ## Run all tests
	@$(VENV)/bin/pytest -q $(OPTIONS)

soak: $(INSTALLED) ## Kill publishers, fetches and syncs at many random points; OPTIONS=--kills=1000
	@$(VENV)/bin/pytest -q tests/journeys/test_killed.py tests/contract/test_fetch_killed.py tests/torchserve/test_bad_nights.py --kills=100 --timeout=0 $(OPTIONS)

check: $(INSTALLED) ## Run the linter and the type checker
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check
	@$(VENV)/bin/mypy

fix: $(INSTALLED) ## Mend what the linter can mend
	@$(VENV)/bin/ruff check --fix
	@$(VENV)/bin/ruff format

docs: $(INSTALLED) ## Write the documents that are made from the code
	@$(VENV)/bin/ms validate --explain all > docs/findings.md
	@$(VENV)/bin/python -m model_servers.cli.reference docs

bench-handler: $(INSTALLED) ## Compare the shared handler's speed with others'; OPTIONS=--quick
	@PYTHONPATH=tests $(VENV)/bin/python -m benchmarks.handler $(OPTIONS)

bench-validate: $(INSTALLED) ## Time `ms validate` in registries of up to 2,000 models
	@PYTHONPATH=tests $(VENV)/bin/python -m benchmarks.validate

bench-release: $(INSTALLED) ## Time builds and fetches beside other tools; OPTIONS=--quick
	@PYTHONPATH=tests $(VENV)/bin/python -m benchmarks.releases $(OPTIONS)

bench-site: $(INSTALLED) ## Time `ms site` for 1,000 models of 10 versions
	@PYTHONPATH=tests $(VENV)/bin/python -m benchmarks.site

bench-sync: $(INSTALLED) ## Time a host's fetches, plans and loads; OPTIONS=--quick
	@PYTHONPATH=tests $(VENV)/bin/python -m benchmarks.sync $(OPTIONS)

clean: ## Remove what the other targets made
	@rm -rf $(VENV) .work dist

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed; set PYTHON=")'
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV)"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[dev]'
	@touch $@
