"""The report's figures, each checked by hand on five round trades, and the laws that hold for any trades."""

from __future__ import annotations

import json
import math
from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sigil_ext.bridge.records import Fill
from sigil_ext.bridge.simulate import StrategyRun
from sigil_ext.research import backtest_stats as stats
from sigil_ext.research.backtest_report import build_report, compare_reports, differing_settings, refused_lines, verdict
from sigil_ext.settings.overlays import flatten, load_variant

PROMISED_KEYS = [
    "variant",
    "start",
    "finish",
    "symbols",
    "trades",
    "by_exit_reason",
    "by_symbol",
    "refused",
    "metrics",
    "config",
]
PROMISED_OF_A_TRADE = [
    "symbol",
    "opened_at",
    "closed_at",
    "entry_price",
    "exit_price",
    "qty",
    "fee",
    "pnl_usd",
    "exit_reason",
    "atr_at_entry",
    "stop_pct",
    "risk_usd",
    "notional_usd",
    "mae_r",
    "mfe_r",
    "universe_id",
]


def test_the_report_has_the_promised_keys_and_is_json(report):
    assert set(PROMISED_KEYS) <= report.keys()
    assert set(PROMISED_OF_A_TRADE) <= report["trades"][0].keys()
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_times_are_iso_in_utc(report):
    assert (report["start"], report["finish"]) == ("2025-06-16T00:00:00Z", "2025-06-18T00:00:00Z")
    first = report["trades"][0]
    assert (first["opened_at"], first["closed_at"]) == ("2025-06-16T01:00:00Z", "2025-06-16T03:00:00Z")


def test_floats_of_a_trade_are_passed_on_to_the_last_bit(run, trade, baseline):
    odd = trade(-0.1 - 0.2, entry_price=0.1 + 0.2, atr_at_entry=math.nextafter(0.02, 1))
    told = build_report(run([odd]), baseline)["trades"][0]
    assert (told["pnl_usd"], told["entry_price"], told["atr_at_entry"]) == (
        odd.pnl_usd,
        odd.entry_price,
        odd.atr_at_entry,
    )


def test_a_trade_says_its_side(run, trade, baseline):
    def fills(*sides):
        return [Fill("TST-USDT", 0, side, 50.0, 1.0) for side in sides]

    trades = [trade(1.0, fills=fills("buy", "sell")), trade(1.0, fills=fills("sell", "buy")), trade(1.0)]
    told = build_report(run(trades), baseline)["trades"]
    assert [t["side"] for t in told] == ["long", "short", "long"]


def test_totals_are_those_of_the_trades(report):
    totals = report["totals"]
    assert totals["count"] == 5
    assert (totals["wins"], totals["draws"], totals["losses"]) == (2, 1, 2)
    assert totals["win_rate"] == 2 / 5
    assert (totals["avg_win_usd"], totals["avg_loss_usd"]) == (2.0, -3.0)
    assert totals["payoff_ratio"] == pytest.approx(2 / 3)
    assert totals["win_rate_needed"] == pytest.approx(3 / 5)
    assert totals["profit_factor"] == pytest.approx(4 / 6)
    assert totals["net_pnl_usd"] == -2.0
    assert totals["net_pnl_pct"] == pytest.approx(-0.2)
    assert totals["expectancy_usd"] == pytest.approx(-0.4)
    assert totals["expectancy_r"] == pytest.approx(-0.2)
    assert totals["final_equity"] == totals["final_cash"] == 998.0
    assert totals["fee_usd"] == pytest.approx(0.75)


def test_exposure_counts_overlapping_positions_once(report):
    # 1-3 and 2-4 overlap: 3 hours; then 1, 1 and 4 hours; of 48.
    assert report["totals"]["exposure"] == pytest.approx(9 / 48)
    assert report["totals"]["max_open_positions"] == 2


def test_drawdown_is_taken_from_the_peak_and_timed(report):
    # Closed: 1000, 1003 (3h), 1001, 1002, 1002, 998 (34h): 5 under the peak of 1003.
    fall = report["totals"]["max_drawdown_closed"]
    assert fall["usd"] == pytest.approx(5.0)
    assert fall["pct"] == pytest.approx(5 / 1003 * 100)
    assert (fall["peak_at"], fall["trough_at"]) == ("2025-06-16T03:00:00Z", "2025-06-17T10:00:00Z")


def test_marked_drawdown_sees_an_open_loss_that_closed_trades_hide(run, trade, baseline):
    won = trade(5.0, hour=1, held_hours=10)
    result = run([won])
    result.equity[4] = 940.0  # 4 hours in the position is 60 under water, and it is closed with a gain
    totals = build_report(result, baseline)["totals"]
    assert totals["max_drawdown_marked"] == {
        "pct": 6.0, "usd": 60.0, "peak_at": "2025-06-16T00:00:00Z", "trough_at": "2025-06-16T04:00:00Z"
    }  # fmt: skip
    assert totals["max_drawdown_closed"] == {"pct": 0.0, "usd": 0.0, "peak_at": None, "trough_at": None}


def test_exit_reasons_are_sorted_by_count_and_absent_when_nothing_left_by_them(report):
    reasons = report["by_exit_reason"]
    assert list(reasons) == ["atr_trail", "hard_stop"]
    trail, stop = reasons["atr_trail"], reasons["hard_stop"]
    assert (trail["count"], trail["share"], trail["pnl_usd"]) == (3, 0.6, 4.0)
    assert (trail["mae_r_mean"], trail["mae_r_median"]) == (pytest.approx(0.4), 0.4)
    assert (trail["mfe_r_mean"], trail["mfe_r_median"]) == (pytest.approx(1.3), 1.0)
    assert trail["avg_loss_usd"] is None
    assert trail["win_rate_needed"] is None
    assert trail["avg_minutes"] == pytest.approx(80)
    assert (stop["count"], stop["pnl_usd"], stop["avg_pnl_usd"], stop["win_rate"]) == (2, -6.0, -3.0, 0.0)
    assert stop["avg_pnl_r"] == pytest.approx(-1.5)


def test_the_day_after_an_exit_counts_only_where_the_candles_reach(report):
    stop = report["by_exit_reason"]["hard_stop"]
    assert (stop["next_24h_known"], stop["next_24h_high_pct"], stop["next_24h_low_pct"]) == (1, 3.0, -2.0)
    assert any("unknown after 1 of 5 exits" in note for note in report["notes"])


def test_symbols_are_sorted_by_what_they_earned(report):
    assert list(report["by_symbol"]) == ["DOGS-USDT", "TST-USDT"]
    assert report["by_symbol"]["TST-USDT"] == {
        "count": 3, "pnl_usd": -3.0, "wins": 1, "draws": 0, "losses": 2, "win_rate": 1 / 3, "hard_stops": 2
    }  # fmt: skip


def test_days_weeks_and_hours_are_utc_and_leave_no_day_out(report):
    assert [(d["day"], d["count"], d["pnl_usd"]) for d in report["by_day"]] == [
        ("2025-06-16", 3, 2.0),
        ("2025-06-17", 2, -4.0),
    ]
    assert [(w["week"], w["count"]) for w in report["by_week"]] == [("2025-06-16", 5)]
    assert len(report["by_hour"]) == 24
    assert [h["hour"] for h in report["by_hour"] if h["count"]] == [1, 2, 6, 10]


def test_a_week_begins_on_monday(run, trade, baseline):
    sunday, monday = trade(1.0, hour=6 * 24 + 1), trade(1.0, hour=7 * 24)
    weeks = build_report(run([sunday, monday], hours=200), baseline)["by_week"]
    assert [w["week"] for w in weeks] == ["2025-06-16", "2025-06-23"]


def test_refusals_are_told_as_signals_and_bars_most_signals_first(report):
    assert list(report["refused"].items()) == [
        ("not_in_universe", {"signals": 9, "bars": 700}),
        ("cooldown", {"signals": 2, "bars": 24}),
        ("ban", {"signals": 0, "bars": 3}),
    ]
    assert report["totals"]["signals_refused"] == 11


def test_a_signal_outside_the_universe_is_told_by_the_reason_of_the_scan_before_it(run, baseline):
    result = run()
    record, hour = result.record, 3_600_000
    record.scan_log = [
        (0, (("A-USDT", "accepted"), ("B-USDT", "banned"))),
        (hour, (("A-USDT", "ranked_out"), ("B-USDT", "banned"))),
    ]
    record.refused_signals = [
        {"symbol": "B-USDT", "at_ms": hour - 1, "reason": "not_in_universe"},
        {"symbol": "A-USDT", "at_ms": hour, "reason": "not_in_universe"},
        {"symbol": "B-USDT", "at_ms": 9 * hour, "reason": "not_in_universe"},
        {"symbol": "A-USDT", "at_ms": 0, "reason": "cooldown"},
    ]
    record.signals_refused = Counter({"not_in_universe": 3, "cooldown": 1})
    report = build_report(result, baseline)
    assert report["universe"]["refused_signals"] == {"banned": 2, "ranked_out": 1}
    assert refused_lines(report) == [
        ("not_in_universe", 3, 0), ("· banned", 2, None), ("· ranked_out", 1, None), ("cooldown", 1, 0)
    ]  # fmt: skip


def test_config_is_flat_and_every_value_has_its_origin(report, baseline):
    assert report["config"] == flatten(baseline.settings)
    assert report["origins"].keys() == report["config"].keys()
    assert report["origins"]["costs.fee_pct"] == "overlays/base.yaml"


def test_a_cap_that_always_binds_is_said_with_the_real_risk(run, trade, baseline):
    cap = build_report(run([trade(1.0), trade(1.0, risk_usd=1.5, hour=9)]), baseline)["cap"]
    assert (cap["bound"], cap["share"], cap["always_binds"]) == (2, 1.0, True)
    assert cap["bound_risk_usd"] == {"mean": 1.75, "min": 1.5, "max": 2.0}
    assert "bound on 2 of 2 entries (100 %)" in cap["sentence"]
    assert "$1.50 to $2.00 (mean $1.75)" in cap["sentence"]
    assert "not the $5.00 asked for" in cap["sentence"]


def test_a_cap_that_never_bound_is_said_too(run, trade):
    wide = load_variant("baseline", ["sizing.max_position_usd=500"])
    cap = build_report(run([trade(1.0, cap_bound=False, risk_usd=5.0)]), wide)["cap"]
    assert (cap["bound"], cap["always_binds"]) == (0, False)
    assert cap["sentence"] == "The size cap of $500.00 never bound: positions risked $5.00 at the hard stop."


def test_a_cap_at_which_the_widest_stop_risks_all_that_was_asked_for_does_not_always_bind(run, trade):
    edge = load_variant("baseline", ["sizing.max_position_usd=100", "hard_stop.cap_pct=5"])
    assert build_report(run([trade(1.0)]), edge)["cap"]["always_binds"] is False


def test_legacy_says_what_of_the_earlier_bot_is_not_modelled(run, trade):
    notes = " ".join(build_report(run([trade(1.0)], label="legacy"), load_variant("legacy"))["notes"])
    for said in (
        "several separate positions",
        "averaged entry",
        "race",
        "scheduler",
        "universe, cash and stale data",
        "baseline",
    ):
        assert said in notes


def test_coarse_candles_make_a_note_about_the_stops(run, trade, baseline):
    coarse = build_report(run([trade(1.0)]), baseline, interval_minutes={"TST-USDT": 5, "DOGS-USDT": 5})
    fine = build_report(run([trade(1.0)]), baseline, interval_minutes={"TST-USDT": 1})
    assert any("stops are 5 minutes coarse" in note for note in coarse["notes"])
    assert not any("coarse" in note for note in fine["notes"])


def test_positions_closed_at_the_end_and_a_tripped_breaker_are_noted(run, trade, baseline):
    result = run([trade(1.0, "session_end")])
    result.record.breaker_reason, result.record.breaker_tripped_at_ms = "daily loss 5.1 %", result.start_ms
    report = build_report(result, baseline)
    assert report["breaker"] == {"tripped": True, "reason": "daily loss 5.1 %", "tripped_at": report["start"]}
    assert any("1 position was still open at the end" in note for note in report["notes"])
    assert any("breaker tripped at 2025-06-16 00:00 UTC (daily loss 5.1 %)" in note for note in report["notes"])


def test_books_that_do_not_close_are_told(run, trade, baseline):
    notes = build_report(run([trade(1.0)], final_cash=1002.0), baseline)["notes"]
    assert any("books do not close" in note and "$1,001.00" in note and "$1,002.00" in note for note in notes)


def test_entries_of_one_bar_are_told_not_to_be_independent(run, trade, baseline):
    apart = build_report(run([trade(1.0, hour=1), trade(1.0, hour=5)]), baseline)["notes"]
    together = build_report(run([trade(1.0, symbol=s) for s in ("A-USDT", "B-USDT", "C-USDT")]), baseline)["notes"]
    assert not any("same bar" in note for note in apart)
    assert any(note.startswith("3 of 3 entries came at the same bar") for note in together)


def test_a_universe_that_is_empty_at_first_is_noted(run, trade, baseline):
    result = run([trade(1.0)])
    result.record.universe_sizes, result.record.scans = [0, 0, 0, 10, 0], 5
    assert any("first 3 scans" in note and "first 3 hours" in note for note in build_report(result, baseline)["notes"])


def test_jesses_metrics_are_untouched_but_for_what_json_cannot_say(run, baseline):
    metrics = {
        "sharpe_ratio": float("nan"),
        "calmar": np.float64("-inf"),
        "total": np.int64(3),
        "net": np.float64(-1.25),
    }
    told = build_report(run(metrics=metrics), baseline)["metrics"]
    assert told == {"sharpe_ratio": None, "calmar": None, "total": 3, "net": -1.25}


def test_a_run_without_trades_is_a_report_without_invented_figures(empty_report):
    json.dumps(empty_report, allow_nan=False)
    totals = empty_report["totals"]
    assert (totals["count"], totals["net_pnl_usd"], totals["exposure"]) == (0, 0.0, 0.0)
    for figure in ("win_rate", "win_rate_needed", "payoff_ratio", "profit_factor", "expectancy_usd", "avg_win_usd"):
        assert totals[figure] is None
    assert empty_report["by_exit_reason"] == {}
    assert [d["count"] for d in empty_report["by_day"]] == [0, 0]
    assert "No position was opened" in empty_report["notes"][0]


def test_a_foreign_strategy_is_reported_without_what_only_sigil_knows(run, trade):
    foreign = trade(1.0, "strategy", stop_pct=None, risk_usd=None, mae_r=None, mfe_r=None, hard_stop_price=None,
                    stop_price=None, high_water=None, universe_id=None, signal={}, cap_bound=False)  # fmt: skip
    what = StrategyRun("somewhere:Theirs", "15m", 1000.0, 0.001)
    report = build_report(run([foreign], label="Theirs"), what)
    json.dumps(report, allow_nan=False)
    assert report["totals"]["max_drawdown_marked"] is None
    assert report["equity"]["marked"] is False
    assert report["config"]["strategy"] == "somewhere:Theirs"
    assert report["cap"]["risk_usd"] is None
    assert "foreign strategy" in report["cap"]["sentence"]


def test_reports_side_by_side_have_a_value_a_report(report, empty_report):
    rows = {row["label"]: row["values"] for row in compare_reports([report, empty_report])}
    assert rows["trades"] == [5, 0]
    assert rows["hard stops"] == [2, None]
    assert rows["win rate needed"] == [pytest.approx(0.6), None]


def test_a_run_without_hard_stops_has_none_of_them_and_not_an_unknown_number(run, trade, baseline):
    rows = {r["label"]: r["values"] for r in compare_reports([build_report(run([trade(1.0)]), baseline)])}
    assert (rows["hard stops"], rows["hard stops, share"], rows["hard stops, average"]) == ([0], [0], [None])


def test_only_settings_that_differ_are_named(run):
    reports = [build_report(run(label=v), load_variant(v)) for v in ("baseline", "aggressive")]
    keys = {row["key"]: row["values"] for row in differing_settings(reports)}
    assert keys["hard_stop.multiplier"] == [1.5, 2.5]
    assert "costs.fee_pct" not in keys
    assert differing_settings(reports[:1]) == []


def test_the_verdict_says_who_made_money_and_how_far_the_win_rate_is_off(report, empty_report, run, trade, baseline):
    assert verdict([report]) == (
        "baseline did not make money: -$2.00 in 5 trades. It won too seldom for its payoff, by 20 percentage points."
    )
    assert verdict([empty_report]) == "No position was opened."
    won = build_report(run([trade(3.0), trade(-1.0, hour=9)]), baseline)
    assert verdict([won, report]).startswith("1 of 2 runs made money; best was baseline, +$2.00 in 2 trades.")


@pytest.mark.parametrize(("ms", "text"), [(0, "1970-01-01T00:00:00Z"), (1750130100999, "2025-06-17T03:15:00Z")])
def test_instants_are_written_to_the_second(ms, text):
    assert stats.iso(ms) == text
    assert datetime.fromisoformat(text).tzinfo == UTC


def test_streaks_follow_the_close_and_a_draw_ends_them(trade):
    trades = [trade(p, hour=h) for p, h in ((-1.0, 5), (-1.0, 1), (0.0, 3), (-1.0, 4))]
    assert stats.longest_streak(trades, won=False) == 2
    assert stats.longest_streak(trades, won=True) == 0


# --- laws ---------------------------------------------------------------------------------------------------------

MONEY = st.floats(-100, 100).map(lambda x: round(x, 6))
REASONS = st.sampled_from(["hard_stop", "atr_trail", "flat_no_move", "session_end", "manual"])
PLANS = st.lists(
    st.tuples(MONEY, REASONS, st.sampled_from(["A-USDT", "B-USDT", "C-USDT"]), st.integers(0, 400), st.integers(0, 72)),
    max_size=30,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(PLANS)
def test_every_table_adds_up_to_the_totals(run, trade, baseline, plans):
    trades = [trade(p, reason, symbol, hour, held) for p, reason, symbol, hour, held in plans]
    report = build_report(run(trades, hours=500), baseline)
    json.dumps(report, allow_nan=False)
    totals = report["totals"]
    tables = [list(report["by_exit_reason"].values()), list(report["by_symbol"].values())]
    for table in [*tables, report["by_day"], report["by_week"], report["by_hour"]]:
        for figure in ("count", "wins", "draws", "losses"):
            assert sum(line[figure] for line in table) == totals[figure]
        assert sum(line["pnl_usd"] for line in table) == pytest.approx(totals["net_pnl_usd"], abs=1e-6)
    assert sum(line["share"] for line in report["by_exit_reason"].values()) == pytest.approx(1.0 if trades else 0.0)
    assert 0 <= totals["exposure"] <= 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(0.01, 100), min_size=1), st.lists(st.floats(-100, -0.01), min_size=1))
def test_money_is_made_exactly_when_the_win_rate_exceeds_the_one_needed(trade, wins, losses):
    line = stats.trade_line([trade(p) for p in [*wins, *losses]], len(wins) + len(losses))
    gap = line["win_rate"] - line["win_rate_needed"]
    if abs(gap) > 1e-9:
        assert (line["pnl_usd"] > 0) == (gap > 0)


@given(st.lists(st.floats(1, 1e6), min_size=1, max_size=200))
def test_the_deepest_fall_is_within_0_and_100_percent_and_no_other_is_deeper(values):
    equity = np.array(values)
    fall = stats.deepest_fall(np.arange(len(values)) * 1000, equity)
    deepest = max((max(values[: i + 1]) - v) / max(values[: i + 1]) * 100 for i, v in enumerate(values))
    assert fall["pct"] == pytest.approx(deepest)
    assert 0 <= fall["pct"] < 100
