# Needs Python 3.11 with venv, make and a package index; everything else is installed into .venv.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help venv demo test lint format clean

help:
	@echo "make demo    install, learn the built-in presenter, drive it: out/demo.mp4"
	@echo "make test    install, run the tests"
	@echo "make lint    install, run ruff and mypy"
	@echo "make venv    install into .venv"

venv: $(STAMP)

# torch comes first and by its exact version, which takes the CPU build where the index has one.
$(STAMP): setup.cfg pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet torch==$$(sed -n 's/^torch==//p' constraints.txt) -c constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

demo: $(STAMP)
	$(BIN)/metatalk train metatalk/presenter/presenter.mp4 --actor out/presenter --preset draft \
		--consent metatalk/presenter/consent.json
	$(BIN)/metatalk drive out/presenter metatalk/presenter/driving.flac -o out/demo.mp4
	@echo "out/demo.mp4: a synthetic presenter says something new"

test: $(STAMP)
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf build dist out *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
