"""Figures of a run, and the same entries under other stops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sigil_ext.research.diagnosis import figures
from sigil_ext.research.diagnosis.candles import Candles
from sigil_ext.research.diagnosis.ladder import by_day, climb, line, net_usd
from sigil_ext.research.diagnosis.noise import measure_noise
from tests.unit.research.diagnosis.conftest import (
    BARE,
    DAY,
    MONDAY,
    candles_of,
    minutes_of,
    position,
    run_of,
    wandering,
)

DARK = Candles({}, MONDAY, MONDAY + DAY, 15, 60)


def test_distances_are_in_percent_and_in_atrs_of_the_entry():
    run = run_of([position(1, atr=0.02, stop_pct=3.0), position(2, atr=0.04, stop_pct=4.0)])
    found = figures.distances(run, DARK)
    assert found["histogram"] == pytest.approx([1.5, 1.0])
    assert found["atr_pct"]["median"] == pytest.approx(3.0)
    assert (found["under_1_atr"], found["under_2_atr"]) == (0.0, 1.0)


def test_a_row_without_stop_and_atr_takes_the_fixed_stop_and_the_atr_of_the_candles():
    candles = candles_of(wandering(1))
    run = run_of([position(50.0, atr=math.nan, stop_pct=math.nan)])
    assert figures.stop_pcts(run).tolist() == [3.0]
    at = MONDAY + 50 * 3_600_000
    assert figures.atr_pcts(run, candles).tolist() == [candles.of("TST-USDT").atr_at(at) * 100]
    assert np.isnan(figures.atr_pcts(run, DARK)).all()


def test_win_rate_had_and_needed_are_those_of_the_trades():
    positions = [position(24 * d, pnl=p) for d, p in enumerate([1.0, 1.0, 1.0, -4.0])]
    found = figures.payoff(positions, seed=1)
    assert found["win_rate"]["value"] == 0.75
    assert found["win_rate_needed"] == pytest.approx(0.8)
    assert found["payoff_ratio"] == pytest.approx(0.25)
    assert found["by_exit"]["hard_stop"] == {
        "count": 4,
        "share": 1.0,
        "net_usd": -1.0,
        "mean_usd": -0.25,
        "mean_pct": -0.25,
    }


def test_falls_of_stopped_and_other_positions_and_the_way_back():
    closes = [1.0] * 60 + [0.97] * 30 + [1.01] * 30 + [1.0] * 3000
    stopped = position(1.0, held_hours=0.25, exit_price=0.97)
    other = position(30.0, held_hours=1.0, pnl=0.1, reason="atr_trail", exit_price=1.001)
    found = figures.excursions(run_of([stopped, other]), candles_of(minutes_of(closes)))
    assert found["stopped"]["pct"]["median"] == pytest.approx(3.0)
    assert found["others"]["pct"]["median"] == 0.0
    assert found["stopped"]["atr"]["median"] == pytest.approx(1.5)
    assert (found["back_at_entry_in_24h"]["value"], found["back_at_entry_in_24h"]["n"]) == (1.0, 1)
    assert found["high_in_24h_pct"]["median"] == pytest.approx(1.01 / 0.97 * 100 - 100)


def test_half_a_day_after_a_stop_is_no_day():
    closes = [1.0] * 60 + [0.97] * 600
    found = figures.excursions(
        run_of([position(1.0, held_hours=0.25, exit_price=0.97)]), candles_of(minutes_of(closes))
    )
    assert found["back_at_entry_in_24h"]["n"] == 0


def test_offenders_are_sorted_by_loss_and_entries_by_the_time_since_the_last_one():
    run = run_of([
        position(1, symbol="A-USDT", pnl=-3), position(1.5, symbol="A-USDT", pnl=-3), position(5, symbol="A-USDT", pnl=-3),
        position(6, symbol="B-USDT", pnl=-4), position(200, symbol="B-USDT", pnl=2, reason="atr_trail"),
    ])  # fmt: skip
    found = figures.offenders(run)
    assert [(s["symbol"], s["hard_stops"], s["loss_usd"]) for s in found["symbols"]] == [
        ("A-USDT", 3, -9.0),
        ("B-USDT", 1, -4.0),
    ]
    assert found["hard_stops_on_repeat_symbols"] == 3
    counted = {x["since"]: (x["positions"], x["hard_stops"]) for x in found["since_last_entry"] if x["positions"]}
    assert counted == {"first": (2, 2), "under 1 h": (1, 1), "1 to 6 h": (1, 1), "over 7 d": (1, 0)}


def test_a_stacked_buy_counts_as_the_last_entry():
    run = run_of([position(1, more=[(9.5, 1.0, 10.0)]), position(10)])
    counted = {x["since"]: x["positions"] for x in figures.offenders(run)["since_last_entry"] if x["positions"]}
    assert counted == {"first": 1, "under 1 h": 1}
    assert figures.offenders(run)["stacked"] == 1


def test_entries_of_several_runs_on_one_symbol_at_one_close_are_counted_as_together():
    a = run_of([position(1), position(1, symbol="B-USDT"), position(9)], name="a")
    b = run_of([position(1), position(20)], name="b")
    found = figures.together([a, b])
    assert (found["entries"], found["distinct"], found["by_how_many"]) == (5, 4, {"1": 3, "2": 1})
    assert found["runs"][0] == {"run": "a", "entries": 3, "shared": 1, "same_close_own": 2}


def test_the_net_result_takes_the_fee_from_the_coins_and_from_the_money():
    p = position(1, entry=2.0, qty=10.0)
    assert net_usd(p.buys, 2.2, 0.0015) == pytest.approx(10 * 2.2 * (1 - 0.0015) ** 2 - 20)


def test_on_the_ladder_wider_stops_are_hit_less_and_the_rule_as_set_comes_first():
    minutes = wandering(2)
    candles = candles_of(minutes)
    positions = [position(h, entry=float(minutes[int(h * 60) - 1, 2])) for h in range(20, 250, 5)]
    stops, trails = climb(BARE, positions, candles)
    lines = [line(r, stops[0], positions, measure_noise(positions, candles, seed=1), seed=1) for r in stops]
    assert (lines[0]["label"], lines[0]["against_as_set"]["value"]) == ("as set", 0.0)
    fixed = [x["hard_stop_share"] for x in lines if x["kind"] == "fixed"]
    assert fixed == sorted(fixed, reverse=True)
    assert fixed[0] > fixed[-1]
    noise = [x["noise_share"] for x in lines if x["kind"] == "fixed"]
    assert noise == sorted(noise, reverse=True)
    three = next(x for x in lines if x["label"] == "fixed 3 %")
    assert three["net_usd"] == lines[0]["net_usd"]
    assert trails[0].label == "as set"
    assert all(x["hard_stops"] + x["trails"] + x["flat"] + x["open_at_end"] == len(positions) for x in lines)


def test_a_free_stop_is_exactly_so_many_atrs_away_and_a_clamped_one_within_floor_and_cap():
    candles = candles_of(wandering(2))
    stops, _ = climb(BARE, [position(50.0, atr=0.05)], candles)
    width = {r.label: r.walked[0].stop_pct for r in stops}
    assert width["2 ATR"] == pytest.approx(10.0)
    assert width["2 ATR, 3 to 6 %"] == 6.0
    assert width["fixed 15 %"] == 15.0


def test_an_entry_without_an_atr_keeps_its_stop_where_others_get_a_multiple_of_theirs():
    early = position(3.0, atr=math.nan)  # no 14 hours of candles before it
    stops, _ = climb(BARE, [early], candles_of(wandering(2)))
    assert {r.walked[0].stop_pct for r in stops if r.kind in ("free", "clamped")} == {3.0}


def test_days_without_an_entry_count_as_zero():
    assert by_day([position(1), position(50), position(51)], np.array([1.0, 2.0, 3.0])).tolist() == [1.0, 0.0, 5.0]
