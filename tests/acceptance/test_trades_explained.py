"""Every trade on the bundled candles, explained a second time from the candle files by code that shares nothing with the
rules: pandas for the bars, plain loops for the indicators, a walk minute by minute for the exit. Equal to the last float.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from sigil_ext.settings.overlays import load_variant

QUARTER = 15 * 60_000
HOUR = 60 * 60_000


@dataclass
class Explained:
    entry_price: float
    stop_pct: float
    atr: float
    qty: float
    exit_price: float
    closed_at_ms: int
    reason: str
    stop: float


def bars(minutes: np.ndarray, length_ms: int) -> pd.DataFrame:
    frame = pd.DataFrame(minutes, columns=["timestamp", "open", "close", "high", "low", "volume"])
    frame["begin"] = frame.timestamp // length_ms * length_ms
    grouped = frame.groupby("begin").agg(
        open=("open", "first"),
        close=("close", "last"),
        high=("high", "max"),
        low=("low", "min"),
        volume=("volume", "sum"),
    )
    return grouped.reset_index()


def wilder_atr(hours: pd.DataFrame) -> float:
    """ATR(14) of the last of at most 240 hourly bars, Wilder's way."""
    rows = hours.tail(240).to_dict("records")
    spans = [
        max(bar["high"] - bar["low"], abs(bar["high"] - rows[i - 1]["close"]), abs(bar["low"] - rows[i - 1]["close"]))
        if i
        else bar["high"] - bar["low"]
        for i, bar in enumerate(rows)
    ]
    average = 0.0
    for span in spans[:14]:
        average += span
    average /= 14
    for span in spans[14:]:
        average = (average * 13 + span) / 14
    return average


def wilder_rsi(quarters: pd.DataFrame) -> float:
    closes = quarters.tail(240).close.to_list()
    changes = [b - a for a, b in itertools.pairwise(closes)]
    gain = sum(max(c, 0.0) for c in changes[:14]) / 14
    loss = sum(max(-c, 0.0) for c in changes[:14]) / 14
    for change in changes[14:]:
        gain = (gain * 13 + max(change, 0.0)) / 14
        loss = (loss * 13 + max(-change, 0.0)) / 14
    return 100 * gain / (gain + loss)


def explain(minutes: np.ndarray, opened_at_ms: int, finish_ms: int, s: dict) -> Explained:
    quarters = bars(minutes[minutes[:, 0] < opened_at_ms], QUARTER)
    signal, before = quarters.iloc[-1], quarters.iloc[:-1]
    assert signal.begin + QUARTER == opened_at_ms, "the entry fills at the close of a signal bar"
    assert signal.close > before.high.tail(s["lookback"]).max(), "the close breaks out"
    mean_volume = sum(before.volume.tail(s["volume_lookback"])) / s["volume_lookback"]
    assert signal.volume >= s["volume_factor"] * mean_volume, "on volume"
    assert s["rsi_min"] <= wilder_rsi(quarters) <= s["rsi_max"], "with RSI in its band"

    whole_hours = minutes[minutes[:, 0] < opened_at_ms // HOUR * HOUR]
    atr = wilder_atr(bars(whole_hours, HOUR))
    entry = float(signal.close)
    stop_pct = min(max(s["multiplier"] * atr / entry * 100, 3.0), 6.0) if s["multiplier"] else 3.0
    qty = 50.0 / entry
    while qty * entry > 50.0:
        qty = math.nextafter(qty, 0)

    hard = stop = entry * (1 - stop_pct / 100)
    high = low = entry
    previous_close = entry
    for row in minutes[(minutes[:, 0] >= opened_at_ms) & (minutes[:, 0] < finish_ms)]:
        begin, opened, close, top, bottom = row[0], row[1], row[2], row[3], row[4]
        ended = int(begin) + 60_000
        kind = "atr_trail" if stop > hard else "hard_stop"
        if opened <= stop <= previous_close and opened < previous_close:
            return Explained(entry, stop_pct, atr, qty, opened, ended, kind, stop)
        if bottom <= stop <= top:
            return Explained(entry, stop_pct, atr, qty, stop, ended, kind, stop)
        high, low, previous_close = max(high, top), min(low, bottom), close
        if ended % QUARTER:
            continue
        if high >= entry + s["activation"] * atr:
            stop = max(stop, high - s["trail"] * atr)
        if stop >= close or abs(1 - stop / close) <= 0.00015:
            return Explained(entry, stop_pct, atr, qty, close, ended, "atr_trail" if stop > hard else "hard_stop", stop)
        if ended - opened_at_ms >= s["flat_ms"] and max(high - entry, entry - low) / entry * 100 < s["flat_pct"]:
            return Explained(entry, stop_pct, atr, qty, close, ended, "flat_no_move", stop)
    return Explained(entry, stop_pct, atr, qty, previous_close, finish_ms, "session_end", stop)


@pytest.mark.parametrize("name", ["baseline", "moderate", "aggressive", "unhinged"])
def test_every_trade_is_what_the_rules_say_to_the_last_float(name, sample_lab, sample_runs):
    settings = load_variant(name).settings
    s = {
        "lookback": settings.entry.breakout_lookback, "volume_factor": settings.entry.volume_factor,
        "volume_lookback": settings.entry.volume_lookback, "rsi_min": settings.entry.rsi_min,
        "rsi_max": settings.entry.rsi_max, "multiplier": settings.hard_stop.multiplier,
        "activation": settings.trail.activation_atr, "trail": settings.trail.multiplier,
        "flat_ms": settings.flat.after.total_seconds() * 1000, "flat_pct": settings.flat.max_move_pct,
    }  # fmt: skip
    run = sample_runs[name]
    assert run.record.trades, "the sample must show trades"
    for trade in run.record.trades:
        by_hand = explain(sample_lab.candles[trade.symbol], trade.opened_at_ms, sample_lab.finish_ms, s)
        said = Explained(
            trade.entry_price, trade.stop_pct, trade.atr_at_entry, trade.qty, trade.exit_price, trade.closed_at_ms,
            trade.exit_reason, trade.stop_price,
        )  # fmt: skip
        assert said == by_hand, f"{trade.symbol} opened at {trade.opened_at_ms}"
        # The exchange takes its cost from the quantity bought and from the money received: 0.1 % fee, 0.05 % slippage.
        received = trade.qty * (1 - 0.0015) * by_hand.exit_price
        assert trade.pnl_usd == pytest.approx(received * (1 - 0.0015) - trade.qty * by_hand.entry_price, abs=1e-9)
        assert trade.fee == pytest.approx((trade.qty * by_hand.entry_price + received) * 0.0015, abs=1e-12)


def test_the_reasons_seen_cover_stop_trail_flat_and_the_end(sample_runs):
    seen = {trade.exit_reason for run in sample_runs.values() for trade in run.record.trades}
    assert {"hard_stop", "atr_trail", "flat_no_move"} <= seen


def test_all_cash_is_accounted_for(sample_runs):
    for run in sample_runs.values():
        gained = math.fsum(trade.pnl_usd for trade in run.record.trades)
        assert run.final_cash == pytest.approx(run.starting_balance + gained, abs=1e-6), run.label
        assert run.equity[-1] == pytest.approx(run.final_cash, abs=1e-6), run.label


def test_equity_is_cash_plus_marks_at_every_quarter_of_an_hour(sample_lab, sample_runs):
    for run in sample_runs.values():
        for i in range(0, len(run.equity_times_ms), 37):
            now, marks, cash = run.equity_times_ms[i], 0.0, run.starting_balance
            for trade in run.record.trades:
                held = 0.0
                for fill in trade.fills:
                    if fill.at_ms <= now:
                        bought = fill.side == "buy"
                        held += fill.qty * (1 - 0.0015) if bought else -fill.qty
                        cash += -fill.qty * fill.price if bought else fill.qty * fill.price * (1 - 0.0015)
                minutes = sample_lab.candles[trade.symbol]
                price = minutes[minutes[:, 0] + 60_000 <= now][-1, 2] if held > 1e-9 else 0.0
                marks += held * price
            assert run.cash[i] == pytest.approx(cash, abs=1e-6)
            assert run.equity[i] == pytest.approx(cash + marks, abs=1e-6)


def test_legacy_stacks_entries_on_an_open_symbol_and_rests_only_after_the_close(sample_runs):
    legacy = sample_runs["legacy"].record
    assert legacy.signals_refused.get("position_open", 0) == 0
    for trade in legacy.trades:
        assert trade.stop_pct == 3.0
        assert trade.entries == len([fill for fill in trade.fills if fill.side == "buy"])
