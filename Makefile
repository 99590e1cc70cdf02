# The names that people and CI call. Everything runs in the active Python environment.
PYTHON ?= python

.PHONY: setup check test slow floors coverage bench docs

setup:
	$(PYTHON) -m pip install -e ".[dev]"

check:
	pre-commit run --all-files

test:
	$(PYTHON) -m pytest

slow:
	$(PYTHON) -m pytest -m slow

floors:
	uv pip compile --quiet pyproject.toml --extra all --extra test --resolution lowest-direct --python-version 3.11 -o build/floors.txt
	uv venv --quiet --clear --python 3.11 build/floors
	uv pip install --quiet --python build/floors/bin/python --no-deps -r build/floors.txt -e .
	build/floors/bin/python -m pytest

coverage:
	$(PYTHON) -m pytest -n 2 --cov

bench:
	$(PYTHON) benchmarks/speed.py
	$(PYTHON) benchmarks/speed.py --workers
	$(PYTHON) benchmarks/speed.py --memory

docs:
	$(PYTHON) tools/make_docs.py
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict --quiet
