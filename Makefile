# The names that people and CI call. Everything runs in the active Python environment.
PYTHON ?= python

.PHONY: setup check test slow bench docs

setup:
	$(PYTHON) -m pip install -e ".[dev]"

check:
	pre-commit run --all-files

test:
	$(PYTHON) -m pytest

slow:
	$(PYTHON) -m pytest -m slow

bench:
	$(PYTHON) benchmarks/speed.py
	$(PYTHON) benchmarks/speed.py --workers
	$(PYTHON) benchmarks/speed.py --memory

docs:
	$(PYTHON) tools/make_docs.py
