# Every target sets up what it needs by itself: a virtual environment in .venv with the locked versions.
# A Python 3.11 or 3.12 is found by its usual names; name another with `make demo PYTHON=/path/to/python3.11`.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo demo-stop test check format paper dashboard panel bench lock clean

PYTHON ?= $(shell for p in python3.11 python3.12 python3 python; do \
	if $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' >/dev/null 2>&1; \
	then echo $$p; break; fi; done)
BIN := .venv/bin
READY := .venv/.ready
export PYTHONDONTWRITEBYTECODE :=
export NUMBA_CACHE_DIR ?= $(CURDIR)/storage/numba

help:
	@echo "make demo       the bundled market: backtests, the four variants on paper with the panel, the audit, a grid"
	@echo "make demo-stop  end what the demo left running: its panel and its database"
	@echo "make test       the tests"
	@echo "make check      format, lint, types, import contract"
	@echo "make dashboard  Jesse's dashboard in the browser, 127.0.0.1:9000, and Sigil's panel under /sigil/"
	@echo "make panel      the panel alone, on a host without Jesse's dashboard"
	@echo "make paper      the four variants on paper on live public candles (Binance)"
	@echo "make bench      speed figures, as ratios"

$(READY): requirements.lock pyproject.toml scripts/setup.sh
	@PYTHON="$(PYTHON)" sh scripts/setup.sh

demo: $(READY)
	@$(BIN)/python scripts/demo.py

demo-stop: $(READY)
	@$(BIN)/python scripts/demo.py stop

test: $(READY)
	$(BIN)/python -m pytest -n auto --dist loadfile

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

paper: $(READY)
	@$(BIN)/sigil run paper --all --feed exchange --symbols @pools/low-caps.txt

dashboard: $(READY)
	@$(BIN)/sigil run

panel: $(READY)
	@$(BIN)/sigil panel

bench: $(READY)
	@$(BIN)/python benchmarks/strategy_overhead.py
	@PYTHONPATH=. $(BIN)/python benchmarks/grid_parity.py --settings 20 sample
	@PYTHONPATH=. $(BIN)/python benchmarks/grid_speed.py
	@PYTHONPATH=. $(BIN)/python benchmarks/grid_scale.py --table --cells 300 --days 90
	@PYTHONPATH=. $(BIN)/python benchmarks/grid_ray.py

# For developers: the lock from pyproject.toml, without addresses.
lock: $(READY)
	$(BIN)/uv lock
	$(BIN)/uv export --no-hashes --no-header --no-annotate --no-emit-project -o requirements.lock

clean:
	rm -rf .venv
