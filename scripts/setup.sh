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
# uv installs the lock in seconds; plain pip does the same in minutes where uv cannot be had or cannot get through.
with_uv() {
    VIRTUAL_ENV="$PWD/.venv" .venv/bin/uv pip install --quiet --no-deps -r requirements.lock \
        && VIRTUAL_ENV="$PWD/.venv" .venv/bin/uv pip install --quiet --no-deps --editable .
}
with_pip() {
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock \
        && .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
}
log=.venv/.setup.log
if .venv/bin/python -m pip install --quiet --disable-pip-version-check "uv>=0.9,<1" 2>"$log" \
    && { with_uv 2>>"$log" || UV_SYSTEM_CERTS=1 UV_NATIVE_TLS=1 with_uv 2>>"$log"; }; then
    :
else
    echo "uv did not get through (see $log); installing with pip, which takes some minutes"
    with_pip || { echo "error: the packages could not be installed; is the package index reachable?" >&2; exit 1; }
fi
touch .venv/.ready
