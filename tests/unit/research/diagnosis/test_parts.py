"""The parts of a loss: each is what it says, and they add up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigil_ext.research.diagnosis.candles import Candles
from sigil_ext.research.diagnosis.noise import measure_noise
from sigil_ext.research.diagnosis.parts import PARTS, decompose, quiet_stop
from sigil_ext.research.diagnosis.walk import walk
from tests.unit.research.diagnosis.conftest import BARE, DAY, MONDAY, candles_of, position, run_of, wandering

MARKET = wandering(1)
CANDLES = candles_of(MARKET)
# Left after 8 hours at the latest, so that one position does not stand in the way of the next.
SHORT = replace(BARE, activation_atr=1.0, trail_multiplier=1.5, flat_after_minutes=480.0, flat_max_move_pct=100.0)


def cut(positions, today, rule=BARE, candles=CANDLES):
    run = run_of(positions, rule)
    found = decompose(run, candles, measure_noise(run.positions, candles, seed=1), today, seed=1)
    return {p["name"]: p["usd"] for p in found["parts"]} | {"found": found}


def price(hour: float) -> float:
    return float(MARKET[int(hour * 60) - 1, 2])


def walked(hour: float, rule=BARE, qty: float = 100.0, **more):
    """A position as `rule` itself ends it, without costs."""
    p = position(hour, entry=price(hour), qty=qty, **more)
    w = walk(CANDLES.of("TST-USDT"), p.buys[:1], 0.02, rule)
    return position(
        hour, entry=price(hour), qty=qty, exit_price=w.exit_price, reason=w.reason,
        held_hours=(w.closed_at_ms - p.opened_at_ms) / 3_600_000, pnl=qty * (w.exit_price - price(hour)), **more,
    )  # fmt: skip


@settings(max_examples=12)
@given(
    st.lists(
        st.tuples(
            st.integers(20, 250), st.floats(-5, 5), st.sampled_from(["hard_stop", "atr_trail", "manual", "session_end"]),
            st.sampled_from(["TST-USDT", "DARK-USDT"]), st.booleans(),
        ),
        min_size=1, max_size=8,
    )
)  # fmt: skip
def test_whatever_happened_the_parts_add_up_to_the_net_result(today, drawn):
    positions = [
        position(
            float(hour), pnl=pnl, reason=reason, symbol=symbol, entry=price(hour), qty=50.0 + hour, exit_price=price(hour) * 0.99,
            more=[(hour + 1, price(hour + 1), 30.0)] if stacked else (),
        )
        for hour, pnl, reason, symbol, stacked in sorted(drawn)
    ]  # fmt: skip
    parts = cut(positions, today)
    total = sum(usd for name, usd in parts.items() if name != "found")
    assert total == pytest.approx(sum(p.pnl_usd for p in positions), abs=1e-9)
    assert list(parts)[:7] == list(PARTS)[:7]


def test_costs_are_what_the_same_fills_would_have_made_without_them(today):
    parts = cut([position(30.0, entry=1.0, qty=100.0, exit_price=1.01, pnl=0.7, reason="manual")], today)
    assert parts["costs"] == pytest.approx(-0.3)
    assert parts["no_candles"] == pytest.approx(1.0)  # by hand: no rule is walked


def test_an_entry_within_the_cooldown_is_a_re_entry(today):
    first, soon, later = (
        position(h, held_hours=0.5, pnl=p, reason="manual") for h, p in ((30.0, 1.0), (33.0, -2.5), (80.0, 1.0))
    )
    parts = cut([first, soon, later], today)
    assert parts["re_entry"] == pytest.approx(-2.5)
    assert parts["found"]["entries_kept"] == 2


def test_at_the_instant_the_cooldown_ends_an_entry_is_none(today):
    first = position(30.0, held_hours=1.0, pnl=1.0, reason="atr_trail")
    assert cut([first, position(36.0, pnl=-2.0)], today)["re_entry"] == 0.0
    assert cut([first, position(35.99, pnl=-2.0)], today)["re_entry"] == pytest.approx(-2.0)


def test_after_two_hard_stops_entries_within_the_ban_are_re_entries(today):
    stops = [position(h, held_hours=1.0, pnl=-3.0) for h in (20.0, 40.0)]
    within, after = position(60.0, pnl=-1.5, reason="manual"), position(66.0, pnl=-1.0, reason="manual")
    parts = cut([*stops, within, after], today)
    assert parts["re_entry"] == pytest.approx(-1.5)
    assert parts["found"]["entries_kept"] == 3


def test_a_hard_stop_of_a_refused_entry_bans_nobody(today):
    kept, refused = position(20.0, held_hours=1.0), position(22.0, held_hours=1.0)
    third = position(47.0, pnl=-1.0, reason="manual")
    assert cut([kept, refused, third], today)["found"]["entries_kept"] == 2


def test_an_entry_on_an_open_symbol_is_a_re_entry_even_after_the_cooldown(today):
    long = position(30.0, held_hours=40.0, pnl=1.0, reason="manual")
    assert cut([long, position(50.0, pnl=-4.0, reason="manual")], today)["re_entry"] == pytest.approx(-4.0)


def test_sizing_is_the_difference_to_the_same_dollars_on_each(today):
    big = position(30.0, entry=1.0, qty=300.0, exit_price=0.97, pnl=-9.0, reason="manual")
    small = position(100.0, entry=1.0, qty=100.0, exit_price=1.03, pnl=3.0, reason="manual")
    parts = cut([big, small], today)
    assert parts["sizing"] == pytest.approx(-6.0)
    assert parts["found"]["mean_notional_usd"] == pytest.approx(200.0)


def test_geometry_is_the_difference_to_the_nearest_stop_outside_the_noise(today):
    positions = [walked(float(h), SHORT) for h in range(20, 240, 20)]
    parts = cut(positions, replace(today, ban=today.ban.model_copy(update={"after": 0})), SHORT)
    assert parts["found"]["entries_kept"] == len(positions)
    multiplier = parts["found"]["quiet_stop_atr"]
    dollars = parts["found"]["mean_notional_usd"]
    assert parts["found"]["quiet_stop_touched"] < 0.10
    expected = 0.0
    for p in positions:
        wide = walk(CANDLES.of("TST-USDT"), p.buys, p.atr, SHORT.atrs(multiplier, free=True))
        expected += dollars * (p.exit_price - wide.exit_price) / p.entry_price
    assert parts["geometry"] == pytest.approx(expected)


def test_the_quiet_stop_is_the_first_step_under_a_tenth():
    noise = measure_noise([walked(float(h)) for h in range(20, 240, 10)], CANDLES, seed=1)
    own = np.full(len(noise.places), 2.0)
    multiplier, share = quiet_stop(noise, own)
    steps = [1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0]
    assert share == pytest.approx((noise.random >= multiplier * 2.0).mean())
    assert share < 0.10
    before = [s for s in steps if s < multiplier]
    assert all((noise.random >= s * 2.0).mean() >= 0.10 for s in before)


def test_without_candles_only_costs_re_entry_and_sizing_are_known(today):
    dark = Candles({}, MONDAY, MONDAY + DAY, 15, 60)
    parts = cut([position(5.0, entry=1.0, qty=100.0, exit_price=0.97, pnl=-3.3)], today, candles=dark)
    assert parts["costs"] == pytest.approx(-0.3)
    assert parts["no_candles"] == pytest.approx(-3.0)
    assert parts["geometry"] == parts["payoff"] == parts["entry"] == parts["market"] == 0.0
