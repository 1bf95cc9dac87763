"""Money is added as Jesse adds it: as decimals."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sigil_ext.research.kernel.decimals import decimal_sum

money = st.one_of(
    st.floats(0.001, 1e7),
    st.decimals(0, 100_000, places=2).map(float),
    st.integers(-8, 20).map(
        lambda power: 2.0**power
    ),  # smaller ones end in a tie, which Python and Rust write otherwise
)


def as_decimals(a: float, b: float) -> float:
    return float(Decimal(repr(a)) + Decimal(repr(b)))


@given(money, money)
@example(0.1, 0.2)
@example(1000.0, 49.95)
@example(99.99999999999999, 0.09999999999999999)
@settings(max_examples=1000, deadline=None)
def test_a_sum_is_that_of_the_shortest_decimals(a, b):
    assert decimal_sum(a, b) == as_decimals(a, b)


@given(money, money)
@example(2.0**-8, 2.0**-8 * (1 - 2**-53))
@example(1024.0, math.nextafter(1024.0, 0))
@settings(max_examples=1000, deadline=None)
def test_what_is_taken_away_is_taken_from_the_decimal(a, b):
    more, less = max(a, b), min(a, b)
    assert decimal_sum(more, -less) == as_decimals(more, -less)


@given(st.floats(1, 1e6), st.integers(1, 40))
@settings(max_examples=500, deadline=None)
def test_neighbours_leave_what_their_decimals_leave(a, steps):
    b = a
    for _ in range(steps):
        b = math.nextafter(b, 0)
    assert decimal_sum(a, -b) == as_decimals(a, -b)


@given(st.floats(1e-20, 1e-9), st.floats(1e-20, 1e-9))
@settings(max_examples=500, deadline=None)
def test_what_is_left_of_a_wallet_is_kept_to_28_decimals(a, b):
    def cut(value: float) -> Decimal:
        return Decimal(repr(value)).quantize(Decimal("1e-28"), rounding=ROUND_HALF_UP)

    assert decimal_sum(max(a, b), -min(a, b)) == float(cut(max(a, b)) - cut(min(a, b)))


@pytest.mark.parametrize(("a", "b"), [(5.0, -6.0), (1e18, 1.0), (1.0, 1e-40)])
def test_what_does_not_fit_is_said_and_not_guessed(a, b):
    assert math.isnan(decimal_sum(a, b))
