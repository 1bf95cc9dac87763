"""Candles in Jesse's own table backtest as those in the files they were imported from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SYMBOLS = "ACH-USDT,BID-USDT,TST-USDT"
FIELDS = ("symbol", "opened_at", "closed_at", "entry_price", "exit_price", "exit_reason")


@pytest.mark.slow
def test_the_table_gives_the_trades_of_the_files(sigil, empty_project):
    files = [str(ROOT / "sample" / f"{symbol.replace('-', '')}-1m.parquet") for symbol in SYMBOLS.split(",")]
    assert sigil("candles", "import", *files, project=empty_project).status == 0
    from_table = sigil("backtest", "--variant", "moderate", "--json", project=empty_project)
    assert from_table.status == 0, from_table.err
    from_files = sigil(
        "backtest", "--variant", "moderate", "--symbols", SYMBOLS, "--candles", str(ROOT / "sample"), "--json",
        project=empty_project,
    )  # fmt: skip
    table, folder = json.loads(from_table.out), json.loads(from_files.out)
    assert table["symbols"] == folder["symbols"] == SYMBOLS.split(",")
    assert len(folder["trades"]) > 3
    assert [[t[f] for f in FIELDS] for t in table["trades"]] == [[t[f] for f in FIELDS] for t in folder["trades"]]


def test_an_empty_table_says_how_to_fill_it(sigil, empty_project):
    ran = sigil("backtest", "--variant", "baseline", project=empty_project)
    assert (ran.status, ran.out) == (2, "")
    assert "sigil candles import" in ran.err
