"""The page on verdicts names every criterion of the gate with the threshold that the rule has."""

from __future__ import annotations

from pathlib import Path

import pytest

from sigil_ext.rules.graduation import CRITERIA, Thresholds
from sigil_ext.services.gate import LIVE_WITHIN

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "verdicts.md").read_text(encoding="utf-8")
NEED = Thresholds()
SAID = {
    "days": [f"{NEED.days:g} days", f"{LIVE_WITHIN.seconds // 60} minutes late"],
    "trades": [f"{NEED.trades} closed trades"],
    "pnl": [f"more than {NEED.pnl_usd:g} USD"],
    "win_rate": [f"more than {NEED.win_rate * 100:g} %"],
    "audits": [f"{NEED.audited_share * 100:g} % of the period audited"],
    "drift": [f"at most {NEED.drift_share * 100:g} % of trades"],
    "data": [
        f"{NEED.observed_share * 100:g} % of minutes", f"over {NEED.hole_hours:g} h",
        f"at most {NEED.downtime_trades_share * 100:g} % of trades", f"at most {NEED.faulty_share * 100:g} % of candles",
    ],
}  # fmt: skip


def test_no_criterion_is_left_out_here():
    assert SAID.keys() == CRITERIA.keys()


@pytest.mark.parametrize("name", CRITERIA)
def test_every_criterion_stands_in_the_page_with_its_threshold(name):
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |")]
    for words in SAID[name]:
        assert words in row
