"""`make demo`: the database, its schema, the bundled candles, five backtests side by side, one page."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "storage" / "demo" / "backtest.html"

STEPS: tuple[tuple[str, list[str]], ...] = (
    ("the embedded PostgreSQL", ["db", "start"]),
    ("the schema of every variant's database", ["migrate", "up", "--all"]),
    ("the bundled candles: real 1m candles of twelve low caps, six days of June 2025", ["candles", "check", "sample"]),
    (
        "the four variants and the earlier bot on them",
        ["backtest", "--all", "--variant", "legacy", "--candles", "sample", "--html", str(PAGE)],
    ),
)


def main() -> int:
    for number, (what, arguments) in enumerate(STEPS, start=1):
        print(f"\n[{number}/{len(STEPS)}] {what}\n      $ sigil {' '.join(arguments)}", flush=True)
        status = subprocess.run([sys.executable, "-m", "sigil_ext", *arguments], cwd=ROOT, check=False).returncode
        if status:
            return status
    print(f"\nDone. Open the page in a browser: {PAGE}")
    print("Next: make dashboard (Jesse in the browser), or sigil --help in .venv/bin. The database keeps running;")
    print("stop it with .venv/bin/sigil db stop.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
