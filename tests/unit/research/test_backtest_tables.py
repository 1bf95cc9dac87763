"""The same reports in a terminal of 100 columns, without a colour."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from sigil_ext.entrypoints.cli.tables import print_backtest
from sigil_ext.research.backtest_report import build_report
from sigil_ext.settings.overlays import load_variant


def printed(reports, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_backtest(console, reports)
    return console.file.getvalue()


def test_one_run_is_shown_in_full(report):
    text = printed([report])
    for heading in (
        "Exits by reason",
        "Symbols by P&L",
        "By day of the close",
        "By hour of the entry",
        "Refused entries",
    ):
        assert heading in text
    for figure in ("-$2.00", "40.0 %", "60.0 %", "hard_stop", "TOTAL", "2025-06-17", "not_in_universe", "700"):
        assert figure in text


def test_several_runs_are_shown_side_by_side(run, trade):
    names = ("baseline", "moderate", "aggressive", "unhinged", "legacy")
    trades = [trade(-234.56, reason, hour=h) for h, reason in enumerate(("hard_stop", "flat_no_move", "session_end"))]
    text = printed([build_report(run(trades, label=v), load_variant(v)) for v in names])
    for name in names:
        assert name in text
    assert "-$703.68" in text
    assert "flat_no_move" in text
    assert "…" not in text


def test_nothing_is_wider_than_the_terminal_and_no_figure_is_cut(report):
    for line in printed([report]).splitlines():
        assert len(line) <= 100
        assert "…" not in line


def test_a_run_without_trades_says_so(empty_report):
    text = printed([empty_report])
    assert "No position was opened" in text
    assert "Exits by reason" not in text


def test_names_are_text_and_never_markup(report):
    report["variant"] = "[red]odd[/red]"
    report["notes"].append("a [bold]note")
    text = printed([report])
    assert "[red]odd[/red]" in text
    assert "a [bold]note" in text


@pytest.mark.parametrize("count", [1, 60])
def test_many_symbols_are_cut_to_the_best_and_the_worst(run, trade, baseline, count):
    trades = [trade(float(i), symbol=f"S{i:02d}-USDT") for i in range(count)]
    text = printed([build_report(run(trades), baseline)])
    assert "S00-USDT" in text
    assert ("best and worst 10 of 60" in text) == (count == 60)
    assert "S30-USDT" not in text


def test_no_run_at_all_is_said():
    assert "nothing to show" in printed([])
