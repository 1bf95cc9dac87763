"""The figures in docs/results.md come from runs: those of the short set are made again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "perp-1m-2025-06"


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="the recorded candles of fifty coins are not beside this checkout")
def test_the_table_of_changes_on_the_short_set_is_what_the_command_prints_today():
    printed = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "what_changed.py"), str(DATA)],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    rows = [line for line in printed.stdout.splitlines() if line.startswith("|")]
    assert len(rows) == 9
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    for row in rows:
        assert row in page
