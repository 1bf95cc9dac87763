from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigil_ext.rules.breaker import BREAKER_TRIPS, BreakerView, trip_reason
from sigil_ext.rules.protections import (
    active_bar,
    after_hard_stop,
    ban_hours,
    decayed_count,
    lifted,
    with_ban,
    with_cooldown,
)
from sigil_ext.rules.types import Protection

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Bans:
    after: int = 2
    window: timedelta = 7 * DAY
    base_hours: float = 24.0
    max_hours: float = 168.0


moments = st.integers(0, 60 * 24 * 60).map(lambda minutes: NOON + timedelta(minutes=minutes))
writes = st.lists(st.tuples(st.sampled_from(["cooldown", "ban", "hard_stop"]), moments), max_size=12)


def apply(protection, kind, at):
    if kind == "cooldown":
        return with_cooldown(protection, "TST-USDT", until=at + timedelta(hours=6), at=at)
    if kind == "ban":
        return with_ban(protection, "TST-USDT", until=at + DAY, at=at)
    return after_hard_stop(protection, "TST-USDT", at=at, ban=Bans())


@given(writes)
def test_no_write_shortens_a_protection_or_resets_what_still_counts(sequence):
    protection = None
    for kind, at in sorted(sequence, key=lambda w: w[1]):
        before, protection = protection, apply(protection, kind, at)
        if before is not None:
            assert before.expires_at is None or protection.expires_at >= before.expires_at
            assert before.ban_until is None or protection.ban_until >= before.ban_until
            assert protection.created_at == before.created_at
            assert decayed_count(protection, at, Bans().window) >= decayed_count(before, at, Bans().window)


def test_bans_double_from_the_second_hard_stop_up_to_the_longest():
    assert [ban_hours(n, Bans()) for n in range(1, 8)] == [0, 24, 48, 96, 168, 168, 168]


def test_a_ban_length_stays_finite_for_any_count():
    assert ban_hours(10_000, Bans()) == 168


def test_after_zero_never_bans_but_counts():
    protection = None
    for i in range(5):
        protection = after_hard_stop(protection, "TST-USDT", at=NOON + i * DAY, ban=Bans(after=0))
    assert (protection.ban_until, protection.violation_count) == (None, 5)


def test_two_hard_stops_within_the_window_ban_and_two_apart_do_not():
    first = after_hard_stop(None, "TST-USDT", at=NOON, ban=Bans())
    assert first.ban_until is None
    assert after_hard_stop(first, "TST-USDT", at=NOON + 6 * DAY, ban=Bans()).ban_until == NOON + 7 * DAY
    assert after_hard_stop(first, "TST-USDT", at=NOON + 7 * DAY, ban=Bans()).ban_until is None


def test_the_count_falls_by_one_for_each_clean_window():
    worst = Protection("TST-USDT", violation_count=7, last_violation_at=NOON)
    counts = [decayed_count(worst, NOON + weeks * 7 * DAY, Bans().window) for weeks in (0, 1, 2, 7, 9)]
    assert counts == [7, 6, 5, 0, 0]
    assert decayed_count(worst, NOON + 7 * DAY - timedelta(seconds=1), Bans().window) == 7


def test_a_row_of_the_earlier_bot_decays_from_its_creation():
    old = Protection("TST-USDT", violation_count=3, created_at=NOON)
    assert decayed_count(old, NOON + 8 * DAY, Bans().window) == 2


def test_a_lift_ends_both_bars_now_and_keeps_the_count():
    barred = Protection("TST-USDT", NOON + DAY, NOON + 2 * DAY, 3, NOON - DAY, NOON - DAY)
    free = lifted(barred, "TST-USDT", at=NOON)
    assert active_bar(free, NOON) is None
    assert free.violation_count == 3


def test_a_lift_leaves_bars_alone_that_are_over():
    over = Protection("TST-USDT", expires_at=NOON - DAY)
    assert lifted(over, "TST-USDT", at=NOON).expires_at == NOON - DAY


def test_a_ban_is_named_before_a_cooldown():
    both = Protection("TST-USDT", expires_at=NOON + DAY, ban_until=NOON + DAY)
    assert active_bar(both, NOON) == "ban"


@dataclass(frozen=True)
class Limits:
    daily_loss_pct: float = 0.0
    max_drawdown_pct: float = 0.0
    consecutive_losses: int = 0


@pytest.mark.parametrize(
    ("limits", "view", "reason"),
    [
        (Limits(daily_loss_pct=5), BreakerView(950, 1000, 1000, 0), "daily_loss"),
        (Limits(daily_loss_pct=5), BreakerView(951, 1000, 2000, 9), None),
        (Limits(max_drawdown_pct=20), BreakerView(800, 800, 1000, 0), "drawdown"),
        (Limits(max_drawdown_pct=20), BreakerView(801, 1000, 1000, 9), None),
        (Limits(consecutive_losses=3), BreakerView(1, 1000, 1000, 3), "consecutive_losses"),
        (Limits(consecutive_losses=3), BreakerView(1, 1000, 1000, 2), None),
        (Limits(), BreakerView(0, 1000, 1000, 99), None),
    ],
)
def test_the_breaker_trips_at_its_limits_and_zero_never_trips(limits, view, reason):
    assert trip_reason(view, limits) == reason


def test_each_trip_is_named_by_its_registry():
    assert list(BREAKER_TRIPS) == ["daily_loss", "drawdown", "consecutive_losses"]
