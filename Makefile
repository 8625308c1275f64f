# `make demo` and `make test` need nothing but Python 3.11+: they make .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Of the random order of the tests: `default` draws another one, which is printed.
SEED ?= 20261127

.PHONY: install demo check test faults fuzz lint browser format lock assets screenshots

install: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Claimbus needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: install
	$(BIN)/claimbus demo

lint: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/claimbus contract --check

# What needs no server but a PostgreSQL of its own: rules, and every service's handlers on a bus in memory.
check: export PYTHONDONTWRITEBYTECODE :=
check: lint
	$(BIN)/pytest --numprocesses 2 --dist loadgroup --no-loadscope-reorder --randomly-seed=$(SEED) tests/unit tests/memory

# Random clients and random faults for so many MINUTES, by SEED; WITH says which of "media retention database failover
# brokers upgrade" too, by default all. Upgrades are from the commit OLD to this code.
faults: install
	$(BIN)/python -m tests.random_faults --seed $(SEED) --minutes $(or $(MINUTES),1) $(if $(filter undefined,$(origin WITH)),,--with $(WITH)) $(if $(OLD),--old $(OLD))

# So many mutated MESSAGES, by SEED, through everything that decodes one; what is wrong is kept in ./found.
fuzz: install
	$(BIN)/python -m tests.fuzz --seed $(SEED) --messages $(or $(MESSAGES),1000000)

# Each page's picture, in docs/screenshots.
screenshots: browser
	$(BIN)/python -m tests.browser.screenshots docs/screenshots

# Three processes keep two cores busy; what has to run in one of them, and what they share: tests/conftest.py.
test: export PYTHONDONTWRITEBYTECODE :=  # or each of the hundreds of processes compiles what it imports
test: lint browser
	$(BIN)/pytest --numprocesses 3 --dist loadgroup --no-loadscope-reorder --randomly-seed=$(SEED)

# How fast it is, beside its peers; what each measure is and how long it takes: benchmarks/README.md. Some of it:
#   make benchmark ONLY=storm,latency CLAIMS=20000 ROUNDS=3
# PUBLISH=1 puts what was measured into docs/performance.md.
.PHONY: benchmark
benchmark: install
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY)) $(if $(PEERS),--peers $(PEERS)) \
		$(if $(CLAIMS),--claims $(CLAIMS)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(WARM_UP),--warm-up $(WARM_UP)) \
		$(if $(STORED),--stored $(STORED)) $(if $(COMPANIES),--companies $(COMPANIES)) \
		$(if $(AWAY),--away $(AWAY)) $(if $(PUBLISH),--publish)

# A Chromium for the tests of the portal, if there is none yet.
browser: install
	$(BIN)/python -m tests.browser.chromium

format: install
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Needs uv. The lock file names no index, so that it works with any.
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header
lock:
	$(LOCK) --extra dev pyproject.toml --output-file requirements.lock
	$(LOCK) pyproject.toml --constraint requirements.lock --output-file requirements-image.lock

# Needs npm. What the pages load from others, as pinned in services/portal/assets; pages load nothing from elsewhere.
ASSETS := services/portal/assets/node_modules
VENDOR := services/portal/static/vendor
assets:
	cd services/portal/assets && npm ci --no-audit --no-fund
	mkdir -p $(VENDOR)
	cp $(ASSETS)/@digdir/designsystemet-css/dist/src/index.css $(VENDOR)/designsystemet.css
	cp $(ASSETS)/@digdir/designsystemet-theme/brand/digdir.css $(VENDOR)/designsystemet-theme.css
	cp $(ASSETS)/htmx.org/dist/htmx.min.js $(VENDOR)/htmx.js
	cp $(ASSETS)/htmx-ext-sse/dist/sse.min.js $(VENDOR)/htmx-sse.js
	cp $(ASSETS)/axe-core/axe.min.js tests/browser/axe.js
