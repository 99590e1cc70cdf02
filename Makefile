# The names that people and CI call. Everything runs in the active Python environment.
PYTHON ?= python

.PHONY: setup check test slow coverage bench docs

setup:
	$(PYTHON) -m pip install -e ".[dev]"

check:
	pre-commit run --all-files

test:
	$(PYTHON) -m pytest

slow:
	$(PYTHON) -m pytest -m slow

coverage:
	$(PYTHON) -m pytest -n 2 --cov

bench:
	$(PYTHON) benchmarks/speed.py
	$(PYTHON) benchmarks/speed.py --workers
	$(PYTHON) benchmarks/speed.py --memory

docs:
	$(PYTHON) tools/make_docs.py
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict --quiet
