# Everything a developer or CI does, by name. `make` alone lists it.
# Recipes use paths relative to this folder, so that the checkout may lie on a path with spaces.

BIN := .venv/bin
# The demo night: how many exposures, and seconds from one to the next.
IMAGES ?= 10
CADENCE ?= 2
# The site file of a sister archiver, for the demo to be that one: deploy/examples/atarchiver_config.yaml
CONFIG ?=
# The fault campaign: deaths of each worker, and, if given, the seed of its choices and one scenario.
KILLS ?= 20
SEED ?=
SCENARIO ?=
# The soak: how long.
MINUTES ?= 10
# The benchmarks: rounds of floor and archiver in turn, and, if given, where the result goes.
ROUNDS ?= 3
JSON ?=
# Of the release that is being made.
VERSION ?= next
# More options for one run, for example: make unit ARGS="-k mailbox -x"
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup setup-tests setup-docs demo quick test test-all test-rest test-busy test-other-release lint types contracts unit integration tests extended campaign campaign-long faults soak bench bench-ledger bench-takeover bench-detection fuzz screenshots docs docs-links dist licences audit notes changelog fmt clean

help: ## list these targets
	@echo "ccarchiver: make TARGET"
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | \
	  while IFS="$$(printf '\t')" read -r name what; do printf '  %-18s %s\n' "$$name" "$$what"; done

setup: ## install what is missing (apt, .venv); done by every target below, at once when nothing changed
	@scripts/bootstrap

setup-tests: ## what setup does, and what only tests need (a browser, Prometheus' checker)
	@scripts/bootstrap --tests

setup-docs: ## what setup does, and what only the documents need (graphviz)
	@scripts/bootstrap --docs

demo: setup ## a night of exposures through the whole archiver, with simulated peers (IMAGES=10 CADENCE=2 CONFIG=site file)
	@$(BIN)/python -m ccarchiver_sim.demo.main --images "$(IMAGES)" --cadence "$(CADENCE)" $(if $(CONFIG),--config "$(CONFIG)") $(ARGS)

quick: setup ## the tests that only compute: no broker, no DDS, no browser; half a minute (ARGS for pytest)
	@scripts/check quick $(ARGS)

test: setup-tests ## what every change must pass: lint, types, contracts, documents, the tests but the costliest, a short fault campaign
	@scripts/check lint types contracts docs tests campaign

test-all: ## everything CI checks: make test, then the costliest tests and a longer fault campaign
	@$(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory test-rest

test-rest: setup-tests ## what test-all has beyond test
	@scripts/check extended campaign-long

test-busy: setup-tests ## make test beside six busy loops
	@scripts/test-busy

test-other-release: ## make test in a fresh root of the other Debian release (as root; ARGS="--release trixie")
	@scripts/other-release $(ARGS)

lint: setup ## ruff: rules and format
	@scripts/check lint

types: setup ## mypy, strict
	@scripts/check types

contracts: setup ## import-linter: who may import whom
	@scripts/check contracts

unit: setup-tests ## all tests but the integration tests (ARGS for pytest)
	@scripts/check unit $(ARGS)

integration: setup-tests ## the whole archiver on private brokers (ARGS for pytest)
	@scripts/check integration $(ARGS)

campaign: setup ## one fault of each kind, under load, and nothing lost (part of make test)
	@scripts/check campaign $(ARGS)

campaign-long: setup ## each fault once, under load, and nothing lost (part of make test-all)
	@scripts/check campaign-long $(ARGS)

extended: setup-tests ## the costliest tests, which make test leaves out (ARGS for pytest)
	@scripts/check extended $(ARGS)

tests: setup-tests ## all tests of make test (ARGS for pytest)
	@scripts/check tests $(ARGS)

faults: setup ## a long fault campaign (KILLS=200 SEED=1 SCENARIO=kill-sal; all scenarios if none is named)
	@$(BIN)/python -m ccarchiver_sim.faults.main --kills "$(KILLS)" \
	  $(if $(SEED),--seed "$(SEED)") $(if $(SCENARIO),--scenario "$(SCENARIO)") $(ARGS)

soak: setup ## steady exposures for a while; fails if memory, files, threads or streams grow (MINUTES=10)
	@$(BIN)/python -m ccarchiver_sim.soak.main --minutes "$(MINUTES)" $(ARGS)

bench-ledger: setup ## 10,000 exposures in the ledger: Redis memory, and how long the commands take
	@$(BIN)/python -m benchmarks.ledger $(ARGS)

bench-takeover: setup ## how long nobody works when one of two hosts fails, and what is lost (ROUNDS=8 JSON=file)
	@$(BIN)/python -m benchmarks.takeover --rounds "$(ROUNDS)" $(if $(JSON),--json "$(JSON)") $(ARGS)

bench-detection: setup ## how soon a worker or a Forwarder that is killed or hangs is noticed and replaced (ROUNDS=3 JSON=file)
	@$(BIN)/python -m benchmarks.detection --rounds "$(ROUNDS)" $(if $(JSON),--json "$(JSON)") $(ARGS)

bench: IMAGES = 200
bench: setup ## latency beside the floor of bare hops (IMAGES=200 ROUNDS=3 JSON=file ARGS="--load --growth --profile")
	@$(BIN)/python -m benchmarks.main --images "$(IMAGES)" --rounds "$(ROUNDS)" $(if $(JSON),--json "$(JSON)") $(ARGS)

fuzz: setup ## 100,000 inputs to the parsers of what others send, and random inputs to all property tests
	@CCARCHIVER_FUZZ=100000 $(BIN)/python -m pytest tests/fuzz --timeout 3600 $(ARGS)
	@HYPOTHESIS_PROFILE=random $(BIN)/python -m pytest -m hypothesis $(ARGS)

screenshots: setup-tests ## the pictures in docs/images, of the real status page during a simulated night
	@$(BIN)/python -m tests.support.screenshots docs/images

docs: setup-docs ## the documents as a web site, in docs/_build/html; warnings are errors
	@scripts/check docs $(ARGS)
	@echo "docs/_build/html/index.html"

docs-links: setup-docs ## whether links from the documents to other sites still lead there (needs the internet)
	@$(BIN)/python -m sphinx -b linkcheck -d docs/_build/doctrees docs docs/_build/links $(ARGS)

dist: setup ## sdist and wheel of the archiver, wheels of the stand-ins, tested versions: into dist/
	@scripts/dist

licences: setup ## the table of licences in docs/licences.md, from what is installed
	@$(BIN)/python scripts/licences

audit: setup ## known vulnerabilities of every pinned version; asks the package index's advisory service
	@scripts/audit $(ARGS)

notes: setup ## what is new since the last version, from changes/ (VERSION=0.2.0)
	@$(BIN)/towncrier build --draft --version "$(VERSION)"

changelog: setup ## turn changes/ into a section of CHANGELOG.md (VERSION=0.2.0); see changes/README.md
	@test "$(VERSION)" != next || { echo "name the version: make changelog VERSION=0.2.0" >&2; exit 2; }
	@$(BIN)/towncrier build --yes --version "$(VERSION)"

fmt: setup ## let ruff mend what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean: ## remove the environment and what the tools left; keeps the sources
	rm -rf .venv .venv-audit .setup.lock build dist docs/_build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
