"""Candles in any order become minutes in time order; the past never changes."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sigil_ext.paper.assembler import MinuteAssembler
from sigil_ext.paper.feed import MINUTE_MS, ClosedMinute, FeedEvent, Row

NOON = 1_767_614_400_000  # 2026-01-05 12:00 UTC
GRACE = 5_000
A, B, C = "AAA-USDT", "BBB-USDT", "CCC-USDT"


def candle(minute: int, close: float = 10.0) -> Row:
    return (float(NOON + minute * MINUTE_MS), 10.0, close, 20.0, 5.0, 1.0)


def end_of(minute: int) -> int:
    return NOON + (minute + 1) * MINUTE_MS


def times(minutes: list[ClosedMinute]) -> list[int]:
    return [(m.open_ms - NOON) // MINUTE_MS for m in minutes]


def kinds(events: list[FeedEvent]) -> list[str]:
    return [e.kind for e in events]


@pytest.fixture
def pair() -> MinuteAssembler:
    return MinuteAssembler([B, A], GRACE, after_ms=NOON - MINUTE_MS, stale_after=3)


def test_a_minute_is_given_out_when_the_last_candle_comes_in(pair):
    assert pair.on_candle(B, candle(0, 11.0), end_of(0)) == []
    assert pair.on_candle(A, candle(0), end_of(0)) == [ClosedMinute(NOON, {A: candle(0), B: candle(0, 11.0)})]


def test_the_candles_of_a_minute_are_sorted_by_symbol(pair):
    pair.on_candle(B, candle(0), end_of(0))
    [minute] = pair.on_candle(A, candle(0), end_of(0))
    assert list(minute.candles) == [A, B]


def test_a_minute_is_given_out_without_the_missing_ones_when_the_grace_is_over(pair):
    pair.on_candle(A, candle(0), end_of(0))
    assert pair.on_time(end_of(0) + GRACE - 1) == []
    assert pair.on_time(end_of(0) + GRACE) == [ClosedMinute(NOON, {A: candle(0)})]
    assert pair.counts["absent"] == 1


def test_a_minute_without_any_candle_is_empty_not_left_out(pair):
    assert pair.on_time(end_of(1) + GRACE) == [ClosedMinute(NOON, {}), ClosedMinute(NOON + MINUTE_MS, {})]


def test_a_complete_minute_waits_for_an_earlier_one_that_is_not(pair):
    pair.on_candle(A, candle(0), end_of(0))
    pair.on_candle(A, candle(1), end_of(0) + 1)
    assert pair.on_candle(B, candle(1), end_of(0) + 2) == []
    assert times(pair.on_candle(B, candle(0), end_of(0) + 3)) == [0, 1]
    assert kinds(pair.events()) == ["out_of_order"]


def test_a_candle_known_to_be_absent_is_not_waited_for(pair):
    pair.on_candle(A, candle(0), end_of(0))
    assert times(pair.on_absent(B, NOON, end_of(0) + 1)) == [0]
    assert pair.counts["absent"] == 1


def test_a_halted_symbol_is_not_waited_for_but_taken(pair):
    pair.await_only([A])
    assert times(pair.on_candle(A, candle(0), end_of(0))) == [0]
    pair.on_candle(B, candle(1), end_of(1))
    assert list(pair.on_candle(A, candle(1), end_of(1))[0].candles) == [A, B]


def test_with_every_symbol_halted_minutes_pass_by_the_grace(pair):
    pair.await_only([])
    assert pair.on_time(end_of(0)) == []
    assert times(pair.on_time(end_of(1) + GRACE)) == [0, 1]


def test_the_newest_value_before_the_minute_is_given_out_wins(pair):
    pair.on_candle(A, candle(0, 11.0), end_of(0))
    pair.on_candle(A, candle(0, 12.0), end_of(0))
    [minute] = pair.on_candle(B, candle(0), end_of(0))
    assert minute.candles[A] == candle(0, 12.0)
    [event] = pair.events()
    assert (event.kind, event.symbol) == ("revised", A)
    assert "close 11 -> 12" in event.detail


def test_another_value_afterwards_is_told_and_not_applied(pair):
    pair.on_candle(A, candle(0, 11.0), end_of(0))
    pair.on_candle(B, candle(0), end_of(0))
    assert pair.on_candle(A, candle(0, 12.0), end_of(0) + 1) == []
    assert pair.on_candle(A, candle(0, 12.0), end_of(0) + 2) == []
    assert kinds(pair.events()) == ["revised", "duplicate"]
    assert pair.told(A, NOON) == candle(0, 12.0)


def test_a_repeat_is_a_duplicate_before_and_after(pair):
    pair.on_candle(A, candle(0), end_of(0))
    pair.on_candle(A, candle(0), end_of(0))
    pair.on_candle(B, candle(0), end_of(0))
    pair.on_candle(A, candle(0), end_of(0))
    assert kinds(pair.events()) == ["duplicate", "duplicate"]


def test_a_late_candle_is_told_once_and_its_repeat_is_a_duplicate(pair):
    pair.on_time(end_of(0) + GRACE)
    pair.on_candle(A, candle(0), end_of(0) + GRACE)
    pair.on_candle(A, candle(0), end_of(0) + GRACE)
    assert kinds(pair.events()) == ["late", "duplicate"]


def test_a_symbol_is_stale_once_and_fresh_once(pair):
    for minute in range(5):
        pair.on_candle(A, candle(minute), end_of(minute))
        pair.on_time(end_of(minute) + GRACE)
    assert [(e.kind, e.symbol) for e in pair.events()] == [("stale", B)]
    assert pair.stale == {B}
    pair.on_candle(A, candle(5), end_of(5))
    pair.on_candle(B, candle(5), end_of(5))
    assert [(e.kind, e.symbol) for e in pair.events()] == [("fresh", B)]
    assert pair.stale == frozenset()


def test_without_a_beginning_the_earliest_candle_before_the_first_minute_is_the_first():
    lone = MinuteAssembler([A, B], GRACE)
    assert lone.on_time(end_of(9)) == []
    lone.on_candle(A, candle(3), end_of(3))
    assert times(lone.on_candle(B, candle(2), end_of(3))) == [2]
    assert times(lone.on_time(end_of(3) + GRACE)) == [3]


def test_history_is_held_and_released_as_downtime(pair):
    for minute in range(3):
        assert pair.hold(A, candle(minute), end_of(10))
        assert pair.hold(B, candle(minute), end_of(10))
    released = pair.release(NOON + MINUTE_MS, end_of(10))
    assert times(released) == [0, 1]
    assert all(m.downtime and len(m.candles) == 2 for m in released)
    assert times(pair.on_time(end_of(2))) == [2]


@pytest.mark.parametrize(
    ("symbol", "row"),
    [
        (C, candle(0)),
        (A, (NOON + 1.0, 10.0, 10.0, 20.0, 5.0, 1.0)),
        (A, (0.0, 10.0, 10.0, 20.0, 5.0, 1.0)),
        (A, (float(NOON), float("nan"), 10.0, 20.0, 5.0, 1.0)),
        (A, (float(NOON), 10.0, 10.0, 9.0, 5.0, 1.0)),
        (A, (float(NOON), 10.0, 10.0, 20.0, 11.0, 1.0)),
        (A, (float(NOON), 0.0, 0.0, 0.0, 0.0, 1.0)),
        (A, (float(NOON), 10.0, 10.0, 20.0, 5.0, -1.0)),
        (A, (float(NOON), 10.0, 10.0, 20.0, 5.0)),
        (A, (float(NOON), "10", 10.0, 20.0, 5.0, 1.0)),
        (A, candle(60)),
    ],
)
def test_what_cannot_be_a_closed_candle_is_told_and_left_out(pair, symbol, row):
    pair.on_candle(symbol, row, end_of(0))
    assert kinds(pair.events()) == ["garbage"]
    assert pair.on_time(end_of(0) + GRACE) == [ClosedMinute(NOON, {})]


@pytest.mark.parametrize("bad", [{"symbols": []}, {"grace_ms": -1}, {"stale_after": 0}, {"after_ms": 7}])
def test_impossible_arguments_are_refused(bad):
    with pytest.raises(ValueError):
        MinuteAssembler(**{"symbols": [A], "grace_ms": 0, **bad})


# --- the law ----------------------------------------------------------------------------------------------------------


class Expected:
    """The law, written the slow way: what may be given out, known from the calls alone."""

    def __init__(self) -> None:
        self.offered: dict[tuple[str, int], float] = {}  # the newest close before the minute was given out
        self.given: list[ClosedMinute] = []

    @property
    def last(self) -> int:
        return self.given[-1].open_ms if self.given else -1

    def offer(self, symbol: str, row: Row) -> None:
        if row[0] > self.last:
            self.offered[symbol, int(row[0])] = row[2]

    def take(self, ready: list[ClosedMinute], symbols: list[str], now_ms: int, awaited: bool) -> None:
        for minute in ready:
            if self.given:
                assert minute.open_ms == self.last + MINUTE_MS, "each minute once, in order, none left out"
            due = {s: v for (s, at), v in self.offered.items() if at == minute.open_ms}
            assert {s: r[2] for s, r in minute.candles.items()} == due, "all that came in time, nothing invented"
            assert all(r[0] == minute.open_ms for r in minute.candles.values())
            assert list(minute.candles) == sorted(minute.candles)
            if awaited and len(minute.candles) < len(symbols):
                assert now_ms >= minute.open_ms + MINUTE_MS + GRACE, "an incomplete minute waits for the grace"
            self.given.append(minute)


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(script=st.binary(min_size=8, max_size=160), known_start=st.booleans())
def test_whatever_comes_in_whatever_order_the_minutes_are_right(script, known_start):
    """Each pair of bytes is a step: a candle (late, repeated, revised, early, impossible) or time that passes."""
    symbols = [A, B, C]
    feed = MinuteAssembler(symbols, GRACE, after_ms=NOON - MINUTE_MS if known_start else None, stale_after=2)
    law, now = Expected(), end_of(0)
    for what, value in zip(script[::2], script[1::2], strict=False):
        if what < 40:
            now += value * 1000
            ready = feed.on_time(now)
        else:
            minute = (now - NOON) // MINUTE_MS - 1 + (what // 3) % 6 - 4  # four minutes back to one that is not over
            row = candle(max(0, minute), 10.0 + value % 4)
            if value >= 240:
                row = (row[0], row[1], row[2], 1.0, row[4], row[5])
            elif row[0] + MINUTE_MS <= now + MINUTE_MS:
                law.offer(symbols[what % 3], row)
            ready = feed.on_candle(symbols[what % 3], row, now)
        law.take(ready, symbols, now, awaited=True)
    law.take(feed.on_time(now + 10 * MINUTE_MS), symbols, now + 10 * MINUTE_MS, awaited=True)

    assert feed.counts["accepted"] == sum(len(m.candles) for m in law.given) == len(law.offered)
    assert feed.counts["absent"] == 3 * len(law.given) - len(law.offered)
    told = len(feed.events())
    assert told == sum(n for kind, n in feed.counts.items() if kind not in ("accepted", "absent"))
    if known_start and law.given:
        assert law.given[0].open_ms == NOON
