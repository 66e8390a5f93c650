# Two commands do everything on a bare machine with Python 3.11 to 3.13, make and pip:
#   make demo   install, then audit the planted data and print where the report lies
#   make test   install, then run the tests
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
RUN := $(VENV)/bin
READY := $(VENV)/.ready
# glibc's defaults give freed memory back too eagerly for a network's activations: inference is up to 1.6 times slower.
export MALLOC_MMAP_THRESHOLD_ ?= 1073741824
export MALLOC_TRIM_THRESHOLD_ ?= 2147483648

.PHONY: demo test test-slow check bench docs page-one lock clean

$(READY): locked.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "auditor needs Python 3.11, 3.12 or 3.13; name it: make demo PYTHON=/path/to/python3.11"; exit 2; }
	test -x $(RUN)/python || $(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locked.txt
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY)
	$(RUN)/auditor run examples/quickstart/audit.yaml --out runs/quickstart

test: $(READY)
	$(RUN)/python -m pytest

test-slow: $(READY)
	$(RUN)/python -m pytest -m slow

check: $(READY)
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports
	$(RUN)/python tests/packaging/check_wheel.py

bench: $(READY)
	$(RUN)/python -m pytest tests/benchmarks --benchmark-only -m "" -s

# The tables of the reference pages, from the code.
docs: $(READY)
	$(RUN)/python -m auditor.reference docs/audit-yaml.md docs/metrics.md

# The picture in the README: the first page of the quickstart's report. Needs pdftoppm (poppler-utils).
page-one: demo
	pdftoppm -r 100 -png -f 1 -l 1 -singlefile runs/quickstart/report.pdf docs/page-one

# Needs uv; the lock names no registry host.
lock:
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-annotate --no-header --quiet -o locked.txt

clean:
	rm -rf $(VENV) runs build dist *.egg-info
