PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: setup demo demo-flow test check format messages clean

setup: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,tools]'
	touch $@

demo: setup
	$(BIN)/lorasearch run studies/library/quickstart.toml

demo-flow: setup
	$(BIN)/lorasearch run studies/library/quickstart-flow.toml

test: check
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.house

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

messages: setup
	$(BIN)/python -m tools.messages

clean:
	rm -rf .venv workspaces build *.egg-info .mypy_cache .ruff_cache .pytest_cache
