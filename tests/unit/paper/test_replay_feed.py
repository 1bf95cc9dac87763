"""A recording comes back as it was, at any speed."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from sigil_ext.bridge.candle_files import CandleSet
from sigil_ext.errors import UnknownSymbol, UsageError
from sigil_ext.paper.feed import MINUTE_MS, ClosedMinute
from sigil_ext.paper.replay_feed import ReplayFeed

NOON = 1_767_614_400_000


class JumpingClock:
    """Moves only when somebody sleeps, or by hand."""

    def __init__(self) -> None:
        self.ms = 0.0
        self.slept: list[float] = []

    def now_ms(self) -> int:
        return int(self.ms)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.ms += seconds * 1000


def candle_set(symbol: str, minutes: list[int]) -> CandleSet:
    rows = [[NOON + m * MINUTE_MS, 1.0, 2.0, 3.0, 0.5, float(m)] for m in minutes]
    return CandleSet(symbol, 1, np.array(rows, dtype=float), "made")


def collect(feed: ReplayFeed, symbols: list[str], after_ms: int | None = None) -> list[ClosedMinute]:
    async def run() -> list[ClosedMinute]:
        return [minute async for minute in feed.minutes(symbols, after_ms)]

    return asyncio.run(run())


@pytest.fixture
def recording() -> dict[str, CandleSet]:
    return {"AAA-USDT": candle_set("AAA-USDT", [0, 1, 4]), "BBB-USDT": candle_set("BBB-USDT", [1, 5])}


def test_every_minute_of_the_recording_comes_once_empty_ones_included(recording):
    minutes = collect(ReplayFeed(recording), ["BBB-USDT", "AAA-USDT"])
    assert [m.open_ms for m in minutes] == [NOON + i * MINUTE_MS for i in range(6)]
    assert [sorted(m.candles) for m in minutes] == [
        ["AAA-USDT"], ["AAA-USDT", "BBB-USDT"], [], [], ["AAA-USDT"], ["BBB-USDT"],
    ]  # fmt: skip
    assert minutes[4].candles["AAA-USDT"] == (NOON + 4 * MINUTE_MS, 1.0, 2.0, 3.0, 0.5, 4.0)
    assert not any(m.downtime for m in minutes)


def test_it_goes_on_after_the_minute_that_was_processed_last(recording):
    minutes = collect(ReplayFeed(recording), ["AAA-USDT", "BBB-USDT"], after_ms=NOON + 3 * MINUTE_MS)
    assert [m.open_ms for m in minutes] == [NOON + 4 * MINUTE_MS, NOON + 5 * MINUTE_MS]
    assert collect(ReplayFeed(recording), ["AAA-USDT"], after_ms=NOON + 9 * MINUTE_MS) == []


def test_the_clock_of_a_recording_does_not_depend_on_the_symbols_asked_for(recording):
    assert len(collect(ReplayFeed(recording), ["BBB-USDT"])) == 6


def test_it_ends_where_it_is_told_to(recording):
    feed = ReplayFeed(recording, finish_ms=NOON + 2 * MINUTE_MS)
    assert [m.open_ms for m in collect(feed, ["AAA-USDT"])] == [NOON, NOON + MINUTE_MS]


def test_progress_counts_the_minutes_given_out(recording):
    feed = ReplayFeed(recording)
    assert feed.progress == (0, 6)
    collect(feed, ["AAA-USDT"], after_ms=NOON)
    assert feed.progress == (5, 5)


def test_at_speed_60_a_minute_takes_a_second(recording):
    clock = JumpingClock()
    collect(ReplayFeed(recording, speed=60, clock=clock), ["AAA-USDT"])
    assert clock.slept == [1.0] * 6


def test_slow_processing_is_made_up_for(recording):
    clock = JumpingClock()

    async def run() -> None:
        async for minute in ReplayFeed(recording, speed=60, clock=clock).minutes(["AAA-USDT"], None):
            if minute.open_ms == NOON:
                clock.ms += 2500

    asyncio.run(run())
    assert clock.slept == [1.0, 0.5, 1.0, 1.0]


def test_at_full_speed_it_never_waits(recording):
    clock = JumpingClock()
    collect(ReplayFeed(recording, clock=clock), ["AAA-USDT"])
    assert clock.slept == []


def test_what_cannot_be_replayed_is_refused(recording):
    with pytest.raises(UnknownSymbol, match="AAB-USDT"):
        collect(ReplayFeed(recording), ["AAB-USDT"])
    with pytest.raises(UsageError, match="nothing to replay"):
        ReplayFeed({})
    with pytest.raises(UsageError, match="speed"):
        ReplayFeed(recording, speed=0)
