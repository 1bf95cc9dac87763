"""`make demo`: the database, its schema, the bundled candles, backtests side by side on a page; then the same market on paper
through all four variants under the supervisor, the audit that compares the two, and the status table.

The demo has a project of its own in storage/demo/project, laid anew each time: what it trades never mixes with yours.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ROOT / "storage" / "demo" / "project"
PAGE = ROOT / "storage" / "demo" / "backtest.html"

STEPS: tuple[tuple[str, list[str]], ...] = (
    ("the embedded PostgreSQL", ["db", "start"]),
    ("the schema of every variant's database", ["migrate", "up", "--all"]),
    ("the bundled candles: real 1m candles of twelve low caps, six days of June 2025", ["candles", "check", "sample"]),
    (
        "the four variants and the earlier bot on them",
        ["backtest", "--all", "--variant", "legacy", "--candles", "sample", "--html", str(PAGE)],
    ),
    (
        "the same market on paper, minute by minute, each variant in its database",
        ["run", "paper", "--all", "--candles", "sample"],
    ),
    ("was paper what the backtest says?", ["audit", "--all"]),
    ("how they stand", ["status"]),
)


def main() -> int:
    lay_project()
    environment = os.environ | {"SIGIL_HOME": str(PROJECT)}
    for number, (what, arguments) in enumerate(STEPS, start=1):
        print(f"\n[{number}/{len(STEPS)}] {what}\n      $ sigil {' '.join(arguments)}", flush=True)
        line = [sys.executable, "-m", "sigil_ext", *arguments]
        status = subprocess.run(line, cwd=PROJECT, env=environment, check=False).returncode
        if status:
            return status
    print(f"\nDone. Open the page in a browser: {PAGE}")
    print(f"Look around: SIGIL_HOME={PROJECT} .venv/bin/sigil positions list --variant unhinged")
    print(
        "Next: make dashboard (Jesse in the browser), make paper (live public data). The demo's database keeps running;"
    )
    print(f"stop it with: SIGIL_HOME={PROJECT} .venv/bin/sigil db stop")
    return 0


def lay_project() -> None:
    """Make the demo's project anew; what an earlier demo left is stopped and removed."""
    if PROJECT.exists():
        stop = [sys.executable, "-m", "sigil_ext", "db", "stop"]
        subprocess.run(stop, env=os.environ | {"SIGIL_HOME": str(PROJECT)}, check=False, capture_output=True)
        shutil.rmtree(PROJECT)
    PROJECT.mkdir(parents=True)
    for name in ("overlays", "migrations", "strategies", "sample"):
        (PROJECT / name).symlink_to(ROOT / name)


if __name__ == "__main__":
    sys.exit(main())
