# Every target works in .venv, which is built when it is first needed and again when pyproject.toml changes.

PYTHON ?=
BIN := .venv/bin

# A checkout that was moved or copied builds its environment anew, since scripts in .venv/bin hold its path.
PLACE := $(shell pwd | cksum | cut -d' ' -f1)
MADE := .venv/made-$(PLACE)
CORE := .venv/core-$(PLACE)
DEV := .venv/dev-$(PLACE)

UV := $(shell command -v uv 2>/dev/null)
RANGE := >=3.11,<3.14
SUITABLE := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
CANDIDATES := $(or $(PYTHON),python3.11 python3.12 python3.13 python3 python)
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadgroup

with_uv = { test -n "$(UV)" && uv $(1); }
install = $(call with_uv,pip install --quiet --python $(BIN)/python $(1)) || \
	$(BIN)/python -m pip install -qq --disable-pip-version-check $(1)

.NOTPARALLEL:
.PHONY: help verify test test-fast test-slow test-long lint readme figures notebooks clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1	\2/p' Makefile | expand -t 18
	@echo "PYTHON=/path/to/python chooses the interpreter (3.11 to 3.13) when .venv is built."

verify: $(CORE) ## check the theorems
	@$(BIN)/simlab verify

test: $(DEV) ## run the whole test suite
	@$(PYTEST)

test-fast: $(DEV) ## run the tests that take seconds
	@$(PYTEST) -m "not slow"

test-slow: $(DEV) ## run the slow tests only
	@$(PYTEST) -m slow

test-long: $(DEV) ## search: 100,000 random examples with fresh seeds, and all bad configurations
	@HYPOTHESIS_PROFILE=long $(PYTEST) -m property
	@HYPOTHESIS_PROFILE=long $(PYTEST) tests/test_fire.py

lint: $(DEV) ## ruff check, ruff format --check, mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

readme: $(DEV) ## write the tables of README.md anew
	@$(BIN)/python docs/readme.py

NOTEBOOKS := $(basename $(notdir $(wildcard notebooks/*.py)))

figures: $(DEV) ## every figure of the notebooks, in figures/
	@for name in $(NOTEBOOKS); do \
		$(BIN)/simlab run experiment=$$name store=results/$$name && $(BIN)/python notebooks/$$name.py || exit; \
	done

notebooks: $(DEV) ## the notebooks as .ipynb, with their figures
	@for name in $(NOTEBOOKS); do \
		$(BIN)/simlab run experiment=$$name store=results/$$name && \
		$(BIN)/python -m jupytext --quiet --to ipynb --execute --run-path . notebooks/$$name.py || exit; \
	done

clean: ## remove .venv, builds and caches
	@rm -rf .venv build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name .git -prune -o -type d -name __pycache__ -prune -exec rm -rf {} +

$(CORE): pyproject.toml $(MADE)
	@echo "Installing simlab into .venv"
	@$(call install,--editable .)
	@touch $@

$(DEV): pyproject.toml constraints.txt $(MADE)
	@echo "Installing simlab and its development tools into .venv"
	@$(call install,--editable ".[dev]" --constraint constraints.txt)
	@touch $(CORE) $@

$(MADE):
	@rm -rf .venv
	@$(call with_uv,venv --quiet --seed --python "$(or $(PYTHON),$(RANGE))" .venv) || \
	for python in $(CANDIDATES); do \
		"$$python" -c '$(SUITABLE)' 2>/dev/null && exec "$$python" -m venv --clear .venv; \
	done || { echo "simlab needs Python 3.11, 3.12 or 3.13 with venv, and found none in: $(CANDIDATES)" >&2; exit 1; }
	@echo "Made .venv with $$($(BIN)/python --version)"
	@touch $@
