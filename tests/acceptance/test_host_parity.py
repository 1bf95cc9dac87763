"""Paper equals backtest: Jesse's core fed minute by minute gives what `jesse.research.backtest` gives, to the last float."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def compared(tmp_path: Path, *arguments: str) -> list[list]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.host_parity", *arguments],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_every_strategy_that_jesse_bundles_does_the_same_in_the_host(tmp_path):
    results = compared(tmp_path, "bundled")
    assert [r for r in results if r[1] is False] == []
    # Not comparable: Test35, whose class is not named like its folder.
    assert {r[0].split()[0] for r in results if r[1] is None} == {"Test35"}
    ran = [r for r in results if r[2] == "ran"]
    assert len(ran) > 600
    assert sum(r[3] > 0 for r in ran) > 150, "runs that trade"


@pytest.mark.slow
def test_every_variant_does_the_same_in_the_host_on_real_candles(tmp_path, sample_lab):
    results = compared(tmp_path, "variants", str(sample_lab.folder))
    assert [r[0] for r in results] == ["baseline", "moderate", "aggressive", "unhinged", "legacy"]
    assert [r for r in results if not r[1]] == []
    assert all(r[3] > 5 for r in results)
