#!/bin/sh
# Make .venv with the locked versions. Run by the Makefile; safe to run again, and by two at once.
set -eu
if [ -z "${PYTHON:-}" ]; then
    echo "error: no Python 3.11 or 3.12 with venv found; install one, or name it: make demo PYTHON=/path/to/python3.11" >&2
    exit 2
fi
exec 9>.setup.lock
if command -v flock >/dev/null 2>&1; then flock 9; fi
if [ -e .venv/.ready ] && [ .venv/.ready -nt requirements.lock ] && [ .venv/.ready -nt pyproject.toml ] \
    && [ .venv/.ready -nt scripts/setup.sh ]; then exit 0; fi
echo "setting up .venv with $($PYTHON --version) (once, a minute or two)"
if ! [ -x .venv/bin/python ] || ! .venv/bin/python -c '' 2>/dev/null; then
    rm -rf .venv
    "$PYTHON" -m venv .venv
fi
# uv installs the lock in seconds; plain pip does the same in minutes where uv cannot be had.
if .venv/bin/python -m pip install --quiet --disable-pip-version-check "uv>=0.9,<1"; then
    VIRTUAL_ENV="$PWD/.venv" .venv/bin/uv pip install --quiet --no-deps -r requirements.lock
    VIRTUAL_ENV="$PWD/.venv" .venv/bin/uv pip install --quiet --no-deps --editable .
else
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
fi
touch .venv/.ready
