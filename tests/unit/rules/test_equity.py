from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigil_ext.bridge.records import Fill
from sigil_ext.rules.equity import drawdown_pct, marked_equity
from sigil_ext.rules.excursions import excursions_r, next_day_pct
from tests.strategies import prices, walk

MINUTE = 60_000
TIMES = np.arange(0, 100 * MINUTE, MINUTE, dtype=np.int64)


@given(prices, st.floats(1.0, 500.0), st.floats(0, 0.05))
def test_buying_and_selling_at_one_price_loses_exactly_the_costs(price, notional, rate):
    qty = notional / price
    fills = [
        Fill("TST-USDT", 10 * MINUTE, "buy", qty, price),
        Fill("TST-USDT", 50 * MINUTE, "sell", qty * (1 - rate), price),
    ]
    closes = {"TST-USDT": (TIMES, np.full(100, price))}
    cash, marks = marked_equity(TIMES, 1000.0, fills, closes, rate)
    equity = cash + marks
    assert equity[9] == 1000.0
    assert equity[10] == pytest.approx(1000 - notional * rate)
    assert equity[-1] == pytest.approx(1000 - notional + notional * (1 - rate) ** 2)
    assert marks[-1] == 0


def test_an_open_position_is_worth_its_last_close_even_where_a_candle_is_absent():
    closes = {"TST-USDT": (np.array([0, 20 * MINUTE], dtype=np.int64), np.array([1.0, 3.0]))}
    cash, marks = marked_equity(TIMES, 100.0, [Fill("TST-USDT", 0, "buy", 10.0, 1.0)], closes, 0.0)
    assert (cash[-1], marks[19], marks[20], marks[-1]) == (90.0, 10.0, 30.0, 30.0)


@given(st.lists(st.floats(1, 1e6), min_size=1, max_size=50))
def test_drawdown_is_zero_at_a_new_high_and_never_above_a_hundred(values):
    fall = drawdown_pct(np.array(values))
    assert (fall >= 0).all()
    assert (fall < 100).all()
    assert fall[int(np.argmax(values))] == 0


def rows(*bars: tuple[float, float, float, float]) -> np.ndarray:
    return np.array([[i * MINUTE, o, c, h, low, 1.0] for i, (o, c, h, low) in enumerate(bars)])


def test_the_minute_of_a_filled_stop_counts_by_its_fill_only():
    minutes = rows((100, 101, 103, 100), (101, 97, 101, 90), (97, 97, 97, 97))
    mae, mfe = excursions_r(minutes, 0, 2 * MINUTE, 100.0, 97.0, 3.0, left_at_close=False)
    assert (mae, mfe) == pytest.approx((1.0, 1.0))


def test_the_last_minute_of_an_exit_at_its_close_was_held_to_the_end():
    minutes = rows((100, 101, 103, 100), (101, 97, 106, 94))
    mae, mfe = excursions_r(minutes, 0, 2 * MINUTE, 100.0, 97.0, 3.0, left_at_close=True)
    assert (mae, mfe) == pytest.approx((2.0, 2.0))


def test_the_day_after_is_unknown_where_the_candles_end_before():
    minutes = walk(1, 1441)
    assert next_day_pct(minutes, MINUTE, 10.0) != (None, None)
    assert next_day_pct(minutes, 2 * MINUTE, 10.0) == (None, None)
    assert next_day_pct(minutes[:0], 0, 10.0) == (None, None)
