from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sigil_ext.rules.guard import GUARD_CHECKS, GuardView, first_refusal
from sigil_ext.rules.types import Breaker, Protection

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
OPEN = GuardView(
    now=NOON, breaker=Breaker(), in_universe=True, position_open=False, protection=None, open_positions=0,
    max_open_positions=3, free_cash=100.0, min_notional_usd=5.0, gap_minutes=0.0, max_gap_minutes=15.0,
)  # fmt: skip
SHUT = {
    "breaker_tripped": {"breaker": Breaker(tripped=True)},
    "paused": {"breaker": Breaker(paused=True)},
    "not_in_universe": {"in_universe": False},
    "position_open": {"position_open": True},
    "cooldown": {"protection": Protection("TST-USDT", expires_at=NOON + HOUR)},
    "ban": {"protection": Protection("TST-USDT", ban_until=NOON + HOUR)},
    "max_open_positions": {"open_positions": 3},
    "not_enough_cash": {"free_cash": 4.99},
    "data_stale": {"gap_minutes": 15.01},
}


def test_an_open_guard_refuses_nothing():
    assert first_refusal(OPEN) is None


@pytest.mark.parametrize("reason", GUARD_CHECKS)
def test_each_check_refuses_for_its_own_reason(reason):
    assert first_refusal(replace(OPEN, **SHUT[reason])) == reason


def test_the_checks_are_asked_in_the_documented_order_and_the_first_wins():
    assert list(GUARD_CHECKS) == list(SHUT)
    reasons = [r for r in GUARD_CHECKS if r not in ("paused", "cooldown")]
    for i, first in enumerate(reasons):
        everything = {k: v for reason in reversed(reasons[i:]) for k, v in SHUT[reason].items()}
        assert first_refusal(replace(OPEN, **everything)) == first


def test_a_lock_that_ends_now_is_free_now():
    ends_now = Protection("TST-USDT", expires_at=NOON, ban_until=NOON)
    assert first_refusal(replace(OPEN, protection=ends_now)) is None
    assert first_refusal(replace(OPEN, protection=ends_now, now=NOON - timedelta(microseconds=1))) == "ban"


def test_limits_are_inclusive_on_the_free_side():
    at_the_edge = replace(OPEN, free_cash=5.0, gap_minutes=15.0, open_positions=2)
    assert first_refusal(at_the_edge) is None


def test_no_cash_at_all_refuses_even_without_a_minimum_order():
    assert first_refusal(replace(OPEN, free_cash=0.0, min_notional_usd=0.0)) == "not_enough_cash"
