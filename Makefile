# The targets of developers and CI. `make` alone lists them.
# Recipes use relative paths, so that the path of the checkout may contain spaces.

BIN := .venv/bin
# The demo night: number of exposures, and seconds from one to the next.
IMAGES ?= 10
CADENCE ?= 2
# Site file of a sister archiver for the demo: deploy/examples/atarchiver_config.yaml
CONFIG ?=
# The fault campaign: kills of each worker and, optionally, the random seed and one scenario.
KILLS ?= 20
SEED ?=
SCENARIO ?=
# Rounds of two faults at once after the single ones.
PAIRS ?= 0
# The night: its duration in hours, and the factor of the times between exposures and faults.
HOURS ?= 8
SCALE ?= 1
# The soak: its duration.
MINUTES ?= 10
# The benchmarks: rounds of floor and archiver and, optionally, the file of the result.
ROUNDS ?= 3
JSON ?=
# The version of a new release.
VERSION ?= next
# More options for one run, for example: make unit ARGS="-k mailbox -x"
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup setup-tests setup-docs demo quick test test-all test-rest test-busy test-other-release lint types coverage contracts unit integration tests extended campaign campaign-long faults night night-short soak bench bench-ledger bench-takeover bench-detection bench-idle fuzz screenshots docs docs-links dist licences lock audit notes changelog fmt clean

help: ## list these targets
	@echo "ccarchiver: make TARGET"
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | \
	  while IFS="$$(printf '\t')" read -r name what; do printf '  %-18s %s\n' "$$name" "$$what"; done

setup: ## install what is missing (apt, .venv); every target below runs it; fast if nothing has changed
	@scripts/bootstrap

setup-tests: ## setup, and what only tests need (a browser, Prometheus' checker)
	@scripts/bootstrap --tests

setup-docs: ## setup, and what only the documents need (graphviz)
	@scripts/bootstrap --docs

demo: setup ## a night of exposures through the whole archiver, with simulated peers (IMAGES=10 CADENCE=2 CONFIG=site file)
	@$(BIN)/python -m ccarchiver_sim.demo.main --images "$(IMAGES)" --cadence "$(CADENCE)" $(if $(CONFIG),--config "$(CONFIG)") $(ARGS)

quick: setup ## the tests without brokers, DDS and browser; half a minute (ARGS for pytest)
	@scripts/check quick $(ARGS)

test: setup-tests ## what every change must pass: lint, types, contracts, documents, all tests except the slowest, a short fault campaign
	@scripts/check lint types contracts docs tests campaign

test-all: ## everything that CI checks: make test, then the slowest tests and a longer fault campaign
	@$(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory test-rest

test-rest: setup-tests ## the part of test-all that is not in test
	@scripts/check extended campaign-long night-short

test-busy: setup-tests ## make test beside six busy loops
	@scripts/test-busy

test-other-release: ## make test in a new root of the other Debian release (as root; ARGS="--release trixie")
	@scripts/other-release $(ARGS)

lint: setup ## ruff: rules and format
	@scripts/check lint

types: setup ## mypy, strict
	@scripts/check types

coverage: setup-tests ## line and branch coverage of the tests of make quick
	@scripts/check coverage $(ARGS)

contracts: setup ## import-linter: the permitted imports between packages
	@scripts/check contracts

unit: setup-tests ## all tests except the integration tests (ARGS for pytest)
	@scripts/check unit $(ARGS)

integration: setup-tests ## the whole archiver on private brokers (ARGS for pytest)
	@scripts/check integration $(ARGS)

campaign: setup ## one fault of each kind under load; fails if anything is lost (part of make test)
	@scripts/check campaign $(ARGS)

campaign-long: setup ## each fault once under load, then some pairs of two at once; fails if anything is lost (part of make test-all)
	@scripts/check campaign-long $(ARGS)

extended: setup-tests ## the slowest tests, which are not in make test (ARGS for pytest)
	@scripts/check extended $(ARGS)

tests: setup-tests ## all tests of make test (ARGS for pytest)
	@scripts/check tests $(ARGS)

faults: setup ## a long fault campaign (KILLS=200 SEED=1 SCENARIO=kill-sal PAIRS=40; default: all scenarios)
	@$(BIN)/python -m ccarchiver_sim.faults.main --kills "$(KILLS)" --pairs "$(PAIRS)" \
	  $(if $(SEED),--seed "$(SEED)") $(if $(SCENARIO),--scenario "$(SCENARIO)") $(ARGS)

night: setup ## a night of exposures with random faults and no operator; fails if anything is lost (HOURS=8 SCALE=0.1 SEED=1)
	@$(BIN)/python -m ccarchiver_sim.night.main --hours "$(HOURS)" --scale "$(SCALE)" $(if $(SEED),--seed "$(SEED)") $(ARGS)

night-short: setup ## the same in three minutes with a fixed seed (part of make test-all)
	@scripts/check night-short $(ARGS)

soak: setup ## exposures at a steady rate; fails if memory, files, threads or streams grow (MINUTES=10)
	@$(BIN)/python -m ccarchiver_sim.soak.main --minutes "$(MINUTES)" $(ARGS)

bench-ledger: setup ## 10,000 exposures in the ledger: Redis memory and duration of the commands
	@$(BIN)/python -m benchmarks.ledger $(ARGS)

bench-takeover: setup ## duration of a takeover when one of two hosts fails, and lost exposures (ROUNDS=8 JSON=file)
	@$(BIN)/python -m benchmarks.takeover --rounds "$(ROUNDS)" $(if $(JSON),--json "$(JSON)") $(ARGS)

bench-detection: setup ## time until a killed or hung worker or Forwarder is detected and replaced (ROUNDS=3 JSON=file)
	@$(BIN)/python -m benchmarks.detection --rounds "$(ROUNDS)" $(if $(JSON),--json "$(JSON)") $(ARGS)

bench-idle: setup ## CPU time and memory of the three workers without exposures (ROUNDS=3 JSON=file)
	@$(BIN)/python -m benchmarks.idle --rounds "$(ROUNDS)" $(if $(JSON),--json "$(JSON)") $(ARGS)

bench: IMAGES = 200
bench: setup ## latency compared with the floor of the bare hops (IMAGES=200 ROUNDS=3 JSON=file ARGS="--load --growth --profile")
	@$(BIN)/python -m benchmarks.main --images "$(IMAGES)" --rounds "$(ROUNDS)" $(if $(JSON),--json "$(JSON)") $(ARGS)

fuzz: setup ## 100,000 inputs for the parsers of external messages, and random inputs for all property tests
	@CCARCHIVER_FUZZ=100000 $(BIN)/python -m pytest tests/fuzz --timeout 3600 $(ARGS)
	@HYPOTHESIS_PROFILE=random $(BIN)/python -m pytest -m hypothesis $(ARGS)

screenshots: setup-tests ## the images in docs/images, of the real status page during a simulated night
	@$(BIN)/python -m tests.support.screenshots docs/images

docs: setup-docs ## the documents as a web site, in docs/_build/html; warnings are errors
	@scripts/check docs $(ARGS)
	@echo "docs/_build/html/index.html"

docs-links: setup-docs ## check the links from the documents to other sites (needs the internet)
	@$(BIN)/python -m sphinx -b linkcheck -d docs/_build/doctrees docs docs/_build/links $(ARGS)

dist: setup ## sdist and wheel of the archiver, wheels of the stand-ins, tested versions, into dist/
	@scripts/dist

licences: setup ## the table of licences in docs/licences.md, from the installed packages
	@$(BIN)/python scripts/licences

lock: setup ## write constraints.txt from requirements*.txt (needs the package index); ARGS="--upgrade-package pika"
	@scripts/lock $(ARGS)

audit: setup ## check every pinned version for known vulnerabilities (needs the package index's advisory service)
	@scripts/audit $(ARGS)

notes: setup ## print the changes since the last version, from changes/ (VERSION=0.2.0)
	@$(BIN)/towncrier build --draft --version "$(VERSION)"

changelog: setup ## make changes/ a section of CHANGELOG.md (VERSION=0.2.0); see changes/README.md
	@test "$(VERSION)" != next || { echo "name the version: make changelog VERSION=0.2.0" >&2; exit 2; }
	@$(BIN)/towncrier build --yes --version "$(VERSION)"

fmt: setup ## correct and format the code with ruff
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean: ## remove the environment and the files of the tools; keeps the sources
	rm -rf .venv .venv-tools .setup.lock build dist docs/_build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
