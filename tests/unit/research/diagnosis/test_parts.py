"""The parts of a loss: each is what it says, and they add up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigil_ext.research.diagnosis.candles import Candles
from sigil_ext.research.diagnosis.noise import QUIET_STEPS, measure_noise
from sigil_ext.research.diagnosis.parts import PARTS, decompose
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

MARKET = wandering(1)
CANDLES = candles_of(MARKET)


def cut(positions, today, rule=BARE, candles=CANDLES):
    run = run_of(positions, rule)
    found = decompose(run, candles, measure_noise(run.positions, candles, seed=1), today, seed=1)
    return {p["name"]: p["usd"] for p in found["parts"]} | {"found": found}


def price(hour: float) -> float:
    return float(MARKET[int(hour * 60) - 1, 2])


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
    total = sum(usd for name, usd in parts.items() if name != "found" and usd is not None)
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


def steady(slope: float, hours: float = 240):
    """A market that moves the same way all the time, percent of the first price an hour."""
    return candles_of(minutes_of(1.0 + slope / 100 * np.arange(int(hours * 60)) / 60))


def at(candles, hour: float, **more):
    """A position of 100 USD opened at the market's price."""
    price = float(candles.of("TST-USDT").minutes[int(hour * 60) - 1, 2])
    return position(hour, entry=price, qty=100 / price, **more)


def test_in_a_market_that_only_rises_all_is_the_market(today):
    candles = steady(0.1)
    positions = []
    for hour in (20.0, 70.0, 120.0):
        price = float(candles.of("TST-USDT").minutes[int((hour + 2) * 60) - 1, 2])
        p = at(candles, hour, exit_price=price, held_hours=2.0, reason="session_end")
        positions.append(replace(p, pnl_usd=p.buys[0].qty * (price - p.entry_price)))
    parts = cut(positions, today, candles=candles)
    assert parts["market"] == pytest.approx(sum(p.pnl_usd for p in positions), rel=0.15)  # in USD: the price rises
    assert parts["geometry"] == 0.0
    assert parts["payoff"] == pytest.approx(0.0, abs=1e-9)
    assert abs(parts["entry"]) < 0.1


def test_geometry_is_what_the_stop_cost_against_holding_on(today):
    """Each fall under the stop is followed by a rise: all that the stop does is to sell low."""
    hour = np.r_[np.ones(20), np.full(20, 0.96), np.ones(20)]
    candles = candles_of(minutes_of(np.tile(hour, 240)))
    stopped = [at(candles, h, exit_price=0.97, pnl=-3.0, held_hours=0.5) for h in (20.0, 70.0)]
    lived = at(candles, 120.0, exit_price=1.0, pnl=0.0, held_hours=2.0, reason="session_end")
    parts = cut([*stopped, lived], replace(today, ban=today.ban.model_copy(update={"after": 0})), candles=candles)
    assert parts["geometry"] == pytest.approx(-9.0)  # the third would have been stopped as well
    assert parts["payoff"] == pytest.approx(3.0)  # and was left otherwise


def test_payoff_is_what_trail_and_flat_exit_did_against_the_stop_and_a_holding_time_alone(today):
    candles = steady(0.5)
    early = at(candles, 20.0, held_hours=1.0, reason="atr_trail")
    late = at(candles, 70.0, held_hours=9.0, reason="atr_trail")
    closes = candles.of("TST-USDT").minutes[:, 2]
    sold = [replace(p, exit_price=float(closes[int((h + 1) * 60) - 1])) for p, h in ((early, 20.0), (late, 70.0))]
    sold = [replace(p, pnl_usd=p.buys[0].qty * (p.exit_price - p.entry_price)) for p in sold]
    parts = cut(sold, today, candles=candles)
    # Both were sold after 0.5 %, where a holding time, 1 h or 9 h by turns, makes 2.5 % in the mean.
    assert parts["payoff"] == pytest.approx(-2 * 100 * 0.02 / 1.2, rel=0.2)


def test_the_quiet_stop_is_the_first_step_under_a_tenth():
    noise = measure_noise([position(float(h), entry=price(h)) for h in range(20, 240, 10)], CANDLES, seed=1)
    multiplier, share = noise.quiet_stop()
    assert share == pytest.approx((noise.random >= multiplier * noise.own_atr).mean())
    assert share < 0.10
    nearer = [s for s in QUIET_STEPS if s < multiplier]
    assert nearer
    assert all((noise.random >= s * noise.own_atr).mean() >= 0.10 for s in nearer)


def test_without_candles_only_costs_re_entry_and_sizing_are_known(today):
    dark = Candles({}, MONDAY, MONDAY + DAY, 15, 60)
    parts = cut([position(5.0, entry=1.0, qty=100.0, exit_price=0.97, pnl=-3.3)], today, candles=dark)
    assert parts["costs"] == pytest.approx(-0.3)
    assert parts["no_candles"] == pytest.approx(-3.0)
    assert [parts[name] for name in ("payoff", "geometry", "entry", "market")] == [None] * 4  # not 0: nobody looked
