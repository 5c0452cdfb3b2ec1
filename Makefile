# make demo   the whole pipeline on the sample library      make test   lint, types, import contracts, tests
# make ui     Dagster, MLflow and the pages on loopback     make lock   resolve the dependencies anew
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
UV     := 0.13.8

.PHONY: env demo ui test lint lock clean

env: $(VENV)/.installed

# The lock pins every version and its hash, and holds no address: it installs from whichever index pip is set to.
$(VENV)/.installed: requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "melgraph needs Python 3.11 or 3.12: '$(PYTHON)' was not found. Remedy: install it, or run make PYTHON=/path/to/python3.11"; exit 2; }
	@echo "== building the environment in $(VENV) (about 5.5 GB on Linux, most of it torch's CUDA libraries)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

demo: env
	$(BIN)/melgraph demo

ui: env
	$(BIN)/melgraph ui

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tests.strict_types
	$(BIN)/lint-imports

# Many tests start processes, which import twice as fast from stored bytecode. Empty means: it is stored.
test: export PYTHONDONTWRITEBYTECODE =
test: env lint
	$(BIN)/pytest -n 2 --dist loadfile

lock: env
	$(BIN)/uv pip compile pyproject.toml --extra dev --python-version 3.11 --universal \
		--generate-hashes --no-annotate --no-header --quiet -o requirements.lock

clean:
	rm -rf .melgraph .pytest_cache .mypy_cache .ruff_cache .hypothesis
