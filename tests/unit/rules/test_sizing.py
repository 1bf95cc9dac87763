from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigil_ext.rules.sizing import position_size, risk_usd
from tests.strategies import percents, prices

money = st.one_of(st.just(0.0), st.floats(0.01, 1e6))


@given(prices, percents, money, money, st.floats(0.01, 1000), money, st.floats(0.1, 100))
def test_a_position_never_risks_more_than_the_setting_nor_costs_more_than_cap_and_cash(
    price, stop_pct, equity, cash, risk, cap, pct
):
    qty, _, _ = position_size(price, stop_pct, equity, cash, risk, cap, pct)
    assert qty >= 0
    assert qty * price <= cash
    assert cap == 0 or qty * price <= cap
    # One unit in the last place: the division by the stop and the product with it round on their own.
    assert risk_usd(qty * price, stop_pct) <= risk * (1 + 4e-16)


@given(prices, percents, money, money, money, money, st.floats(0.1, 100))
def test_compiled_and_interpreted_sizes_are_the_same_float(price, stop_pct, equity, cash, risk, cap, pct):
    arguments = (price, stop_pct, equity, cash, risk, cap, pct)
    assert position_size(*arguments) == position_size.py_func(*arguments)


@pytest.mark.parametrize(
    ("stop_pct", "cap", "cash", "notional", "cap_bound", "cash_bound"),
    [
        (4.0, 0.0, 1000.0, 125.0, False, False),
        (4.0, 50.0, 1000.0, 50.0, True, False),
        (4.0, 50.0, 20.0, 20.0, False, True),
        (10.0, 50.0, 1000.0, 50.0, False, False),
        (4.0, 50.0, 0.0, 0.0, False, True),
    ],
)
def test_five_dollars_of_risk_under_cap_and_cash(stop_pct, cap, cash, notional, cap_bound, cash_bound):
    qty, capped, short = position_size(2.0, stop_pct, 1000.0, cash, 5.0, cap, 10.0)
    assert (qty * 2.0, capped, short) == (notional, cap_bound, cash_bound)


def test_without_a_risk_the_size_is_a_share_of_equity():
    assert position_size(1.0, 3.0, 800.0, 1000.0, 0.0, 0.0, 10.0) == (80.0, False, False)
