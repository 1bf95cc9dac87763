#!/bin/sh
# Finds a Chromium for the browser tests; as root on Debian or Ubuntu installs one. Prints its path. Without one it says why
# and exits 1: the tests that need it are then skipped, all others run.
set -u

find_browser() {
	for name in "${SIGIL_BROWSER:-}" chromium chromium-browser google-chrome google-chrome-stable chrome; do
		[ -n "$name" ] && command -v "$name" 2>/dev/null && return 0
	done
	return 1
}

find_browser && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	echo "no Chromium found; install one (Debian: apt-get install chromium), or name it with SIGIL_BROWSER=/path/to/chrome" >&2
	exit 1
fi

echo "installing Chromium for the browser tests" >&2
export DEBIAN_FRONTEND=noninteractive
{ apt-get install -y --no-install-recommends chromium || { apt-get update && apt-get install -y --no-install-recommends chromium; }; } >/dev/null 2>&1
find_browser && exit 0
echo "apt-get could not install Chromium: no network, or a system without that package; the browser tests are skipped" >&2
exit 1
