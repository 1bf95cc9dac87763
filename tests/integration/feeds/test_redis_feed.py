"""A stream between one publisher and many readers: crashes, restarts, trimming, a server that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from sigil_ext.errors import SigilError, UsageError
from sigil_ext.paper.feed import MINUTE_MS, ClosedMinute
from sigil_ext.paper.publisher import lock_key, publish
from sigil_ext.paper.redis_feed import RedisFeed
from sigil_ext.paper.redis_link import connect
from sigil_ext.paper.replay_feed import ReplayFeed
from tests.integration.feeds.bench import SYMBOLS, exchange, recording, run, take, truth
from tests.integration.feeds.redis_server import RedisServer

pytestmark = pytest.mark.timeout(120)

NAMES = SYMBOLS["binance"]
CANDLES = recording(NAMES, 300)
FIRST = int(CANDLES[NAMES[0]].candles[0, 0])
STREAM = "minutes"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


def minute_ms(number: int) -> int:
    return FIRST + number * MINUTE_MS


def numbers(minutes: list[ClosedMinute]) -> list[int]:
    return [(m.open_ms - FIRST) // MINUTE_MS for m in minutes]


def recorded(begin: int, end: int) -> ReplayFeed:
    """A recording of the minutes [begin, end)."""
    feed = ReplayFeed(CANDLES, finish_ms=minute_ms(end))
    feed._first = minute_ms(begin)
    return feed


def check(minutes: list[ClosedMinute]) -> None:
    known = truth(CANDLES)
    assert numbers(minutes) == list(range(numbers(minutes)[0], numbers(minutes)[0] + len(minutes)))
    assert [dict(m.candles) for m in minutes] == [known[m.open_ms] for m in minutes]


def test_a_publisher_that_is_started_again_doubles_nothing(server):
    async def work() -> None:
        await publish(recorded(0, 30), server.url, STREAM, NAMES, after_ms=minute_ms(-1))
        await publish(recorded(0, 50), server.url, STREAM, NAMES, after_ms=minute_ms(-1))
        await publish(recorded(0, 60), server.url, STREAM, NAMES)
        feed = RedisFeed(server.url, STREAM)
        check(await take(feed, NAMES, minute_ms(-1), 60))
        await feed.close()
        link = connect(server.url)
        assert await link.xlen(STREAM) == 60 + 3, "and the three ends of the recording"
        await link.aclose()

    run(work)


def test_many_readers_each_go_on_where_they_were(server):
    async def work() -> None:
        await publish(recorded(0, 100), server.url, STREAM, NAMES)

        async def reader(stand: int) -> None:
            feed = RedisFeed(server.url, STREAM)
            check(await take(feed, NAMES, minute_ms(stand), 99 - stand))
            await feed.close()

        await asyncio.gather(*(reader(stand) for stand in range(0, 90, 10)))

    run(work)


def test_a_new_reader_begins_with_what_is_published_from_now_on(server):
    async def work() -> None:
        await publish(recorded(0, 10), server.url, STREAM, NAMES)
        feed = RedisFeed(server.url, STREAM)
        reading = asyncio.create_task(take(feed, NAMES, None, 5))
        await asyncio.sleep(0.3)
        await publish(recorded(0, 15), server.url, STREAM, NAMES)
        assert numbers(await reading) == [10, 11, 12, 13, 14]
        await feed.close()

    run(work)


def test_minutes_that_were_trimmed_are_told_and_empty(server):
    async def work() -> None:
        await publish(recorded(0, 20), server.url, STREAM, NAMES)
        link = connect(server.url)
        await link.xtrim(STREAM, maxlen=5 + 1, approximate=False)  # and the end of the recording
        await link.aclose()
        feed = RedisFeed(server.url, STREAM)
        minutes = await take(feed, NAMES, minute_ms(9), 10)
        assert numbers(minutes) == list(range(10, 20))
        assert [bool(m.candles) for m in minutes] == [False] * 5 + [True] * 5
        assert [m.downtime for m in minutes] == [True] * 5 + [False] * 5
        [hole] = feed.events()
        assert hole.kind == "hole_left"
        assert hole.detail.startswith("5 min")
        await feed.close()

    run(work)


def test_minutes_that_were_trimmed_are_filled_where_asked(server):
    async def work() -> None:
        await publish(recorded(0, 20), server.url, STREAM, NAMES)
        link = connect(server.url)
        await link.xtrim(STREAM, maxlen=5 + 1, approximate=False)  # and the end of the recording
        await link.aclose()
        feed = RedisFeed(server.url, STREAM, on_gap="fill", filler=ReplayFeed(CANDLES))
        minutes = await take(feed, NAMES, minute_ms(9), 10)
        check(minutes)
        assert [m.downtime for m in minutes] == [True] * 5 + [False] * 5
        assert [e.kind for e in feed.events()] == ["hole_filled"]
        await feed.close()

    run(work)


def test_a_stream_is_kept_short(server):
    async def work() -> None:
        await publish(recorded(0, 300), server.url, STREAM, NAMES, kept_minutes=100)
        link = connect(server.url)
        assert 100 <= await link.xlen(STREAM) < 300
        await link.aclose()

    run(work)


@pytest.mark.parametrize("keeps", [True, False], ids=["and keeps its data", "and loses its data"])
def test_a_server_that_is_killed_and_comes_back_loses_and_doubles_nothing(tmp_path, keeps):
    """Publisher and reader both live through it; a reader that was behind sees the hole, if data was lost."""

    class Slow(ReplayFeed):
        async def minutes(self, symbols, after_ms):
            async for minute in super().minutes(symbols, after_ms):
                await asyncio.sleep(0.02)
                yield minute

    async def work(server: RedisServer) -> None:
        feed = RedisFeed(server.url, STREAM)
        got: list[ClosedMinute] = []

        async def kill_twice() -> None:
            for count in (30, 60):
                while len(got) < count:
                    await asyncio.sleep(0.01)
                await asyncio.to_thread(server.kill)
                await asyncio.sleep(0.5)
                await asyncio.to_thread(server.start)

        publishing = asyncio.create_task(
            publish(Slow(CANDLES, finish_ms=minute_ms(120)), server.url, STREAM, NAMES, after_ms=minute_ms(-1))
        )
        killing = asyncio.create_task(kill_twice())
        async with aclosing(feed.minutes(NAMES, minute_ms(-1))) as minutes:
            async for minute in minutes:
                got.append(minute)
        await asyncio.gather(publishing, killing)
        assert numbers(got) == list(range(120)), "in order, none left out, none twice"
        told = [e.kind for e in feed.events()]
        assert "lost" in told
        assert told.count("lost") == told.count("back")
        if keeps:
            check(got)
            assert "hole_left" not in told
        else:
            known = truth(CANDLES)
            assert all(dict(m.candles) in ({}, known[m.open_ms]) for m in got)
            assert ("hole_left" in told) == any(not m.candles for m in got), "nothing is missing in silence"
        await feed.close()

    with RedisServer(tmp_path, keeps=keeps) as server:
        run(lambda: work(server))


def test_while_the_server_is_gone_the_filler_carries_on_where_asked(server):
    async def work() -> None:
        await publish(recorded(0, 20), server.url, STREAM, NAMES)
        feed = RedisFeed(server.url, STREAM, on_gap="fill", filler=ReplayFeed(CANDLES), patience_s=0.5)
        minutes: list[ClosedMinute] = []
        async with aclosing(feed.minutes(NAMES, minute_ms(9))) as stream:
            async for minute in stream:
                minutes.append(minute)
                if len(minutes) == 10:
                    await asyncio.to_thread(server.kill)
                if len(minutes) == 40:
                    break
        check(minutes)
        assert [e.kind for e in feed.events()] == ["lost"]
        await feed.close()

    run(work)


def test_while_nothing_is_published_the_filler_carries_on_until_the_stream_does(server):
    class Live(ReplayFeed):
        async def minutes(self, symbols, after_ms):
            async for minute in super().minutes(symbols, after_ms):
                await asyncio.sleep(0.05)
                yield minute

    async def work() -> None:
        await publish(recorded(0, 20), server.url, STREAM, NAMES)
        feed = RedisFeed(server.url, STREAM, on_gap="fill", filler=Live(CANDLES), patience_s=0.5)
        minutes: list[ClosedMinute] = []
        async with aclosing(feed.minutes(NAMES, minute_ms(9))) as stream:
            async for minute in stream:
                minutes.append(minute)
                if len(minutes) == 20:
                    await publish(recorded(0, 60), server.url, STREAM, NAMES)
                if len(minutes) == 50:
                    break
        check(minutes)
        await feed.close()

    run(work)


def test_an_entry_that_is_no_minute_is_told_and_left_out(server):
    async def work() -> None:
        await publish(recorded(0, 5), server.url, STREAM, NAMES)
        link = connect(server.url)
        await link.xadd(STREAM, {"minute": "{broken"}, id=f"{minute_ms(5)}-0")
        await link.xadd(STREAM, {"other": "1"}, id=f"{minute_ms(5)}-1")
        await link.aclose()
        await publish(recorded(0, 9), server.url, STREAM, NAMES)
        feed = RedisFeed(server.url, STREAM)
        minutes = await take(feed, NAMES, minute_ms(-1), 9)
        assert [bool(m.candles) for m in minutes] == [True] * 5 + [False] + [True] * 3
        assert sorted(e.kind for e in feed.events()) == ["garbage", "garbage", "hole_left"]
        await feed.close()

    run(work)


def test_a_silent_symbol_is_stale_once_and_fresh_once(server):
    async def work() -> None:
        await publish(ReplayFeed({NAMES[0]: CANDLES[NAMES[0]]}, finish_ms=minute_ms(20)), server.url, STREAM, NAMES[:1])
        await publish(recorded(0, 25), server.url, STREAM, NAMES)
        feed = RedisFeed(server.url, STREAM, stale_after=4)
        await take(feed, NAMES[:2], minute_ms(-1), 25)
        assert [(e.kind, e.symbol) for e in feed.events()] == [("stale", NAMES[1]), ("fresh", NAMES[1])]
        await feed.close()

    run(work)


def test_one_exchange_connection_feeds_two_sessions_through_an_outage_of_the_exchange(server):
    async def work() -> None:
        async with exchange("binance") as market:
            after = market.first_ms + 55 * MINUTE_MS
            publishing = asyncio.create_task(
                publish(market.make(), server.url, STREAM, market.symbols, after_ms=after, lock_s=3)
            )
            feeds = [RedisFeed(server.url, STREAM) for _ in range(2)]

            async def outage() -> None:
                await asyncio.sleep(1)
                await market.server.go_away()
                market.clock.jump(20 * MINUTE_MS)
                await market.server.come_back()

            first, second, _ = await asyncio.gather(
                *(take(feed, market.symbols, after, 26) for feed in feeds), outage()
            )
            assert first == second
            check(first)
            assert market.server.watchers <= 1
            for feed in feeds:
                assert feed.counts["lost"] == 1, "what the publisher met is told to its readers"
                await feed.close()
            publishing.cancel()
            await asyncio.gather(publishing, return_exceptions=True)

    run(work)


def test_a_publisher_and_a_reader_that_are_cancelled_at_any_instant_stop(server):
    """Until Python 3.12 redis-py forgets a cancellation now and then, and what should have stopped goes on for ever."""

    async def work() -> None:
        for trial in range(20):
            stream = f"minutes{trial}"
            feed = RedisFeed(server.url, stream)
            publishing = asyncio.create_task(
                publish(recorded(0, 300), server.url, stream, NAMES, after_ms=minute_ms(-1), lock_s=0.3)
            )
            reading = asyncio.create_task(take(feed, NAMES, minute_ms(-1), 1000))
            await asyncio.sleep(0.02 + trial * 0.0013)
            link = connect(server.url)
            for task in (publishing, reading):
                task.cancel()
            _, going_on = await asyncio.wait([publishing, reading], timeout=60)
            assert not going_on
            length = await link.xlen(stream)
            assert not await link.exists(lock_key(stream)), "the stream is given free"
            await asyncio.sleep(0.05)
            assert await link.xlen(stream) == length
            await feed.close()
            await link.aclose()

    run(work)


def test_a_stream_of_another_source_is_refused(server):
    async def work() -> None:
        await publish(recorded(0, 5), server.url, STREAM, NAMES, source="replay binance")
        with pytest.raises(UsageError, match="holds minutes of replay binance, not of exchange kraken; choose another"):
            await publish(recorded(0, 9), server.url, STREAM, NAMES, source="exchange kraken")

    run(work)


def test_a_symbol_that_is_not_published_is_told_at_once(server):
    async def work() -> None:
        await publish(recorded(0, 5), server.url, STREAM, NAMES[:2], after_ms=minute_ms(-1))
        feed = RedisFeed(server.url, STREAM)
        minutes = await take(feed, NAMES, minute_ms(-1), 5)
        assert all(list(m.candles) == NAMES[:2] for m in minutes)
        [told] = feed.events()
        assert (told.kind, told.symbol, told.detail) == ("stale", NAMES[2], f"is not published in stream {STREAM}")
        await feed.close()

    run(work)


def test_silence_is_told_once_with_who_is_to_blame_and_so_is_its_end(server):
    class Hesitant(ReplayFeed):
        async def minutes(self, symbols, after_ms):
            async for minute in super().minutes(symbols, after_ms):
                if minute.open_ms == minute_ms(5):
                    await asyncio.sleep(3)
                yield minute

    async def work() -> None:
        feed = RedisFeed(server.url, STREAM, patience_s=0.3)
        reading = asyncio.create_task(take(feed, NAMES, minute_ms(-1), 9))
        await asyncio.sleep(1.5)
        assert [e.detail for e in feed.events()] == ["nothing came in stream minutes for 0 s; it has no publisher"]
        await publish(Hesitant(CANDLES, finish_ms=minute_ms(10)), server.url, STREAM, NAMES, after_ms=minute_ms(-1))
        await reading
        back, lost, again = feed.events()
        assert [back.kind, lost.kind, again.kind] == ["back", "lost", "back"]
        assert "its publisher (" in lost.detail
        assert "waits too" in lost.detail
        await feed.close()

    run(work)


def test_a_wrong_password_and_a_key_that_is_no_stream_are_one_sentence(tmp_path):
    async def work() -> None:
        with RedisServer(tmp_path) as server:
            link = connect(server.url)
            await link.set(STREAM, "somebody else's")
            feed = RedisFeed(server.url, STREAM)
            for attempt in (publish(recorded(0, 5), server.url, STREAM, NAMES), take(feed, NAMES, 0, 1)):
                with pytest.raises(SigilError, match=r"Redis at 127\.0\.0\.1:\d+ refuses: .*wrong kind of value"):
                    await attempt
            await feed.close()
            await link.config_set("requirepass", "geheim")
            await link.aclose()
            wrong = server.url.replace("//", "//:falsch@")
            for url in (server.url, wrong):
                with pytest.raises(SigilError, match=r"Redis at 127\.0\.0\.1:\d+ refuses") as caught:
                    await publish(recorded(0, 5), url, STREAM, NAMES)
                assert "falsch" not in str(caught.value)

    run(work)


def test_a_filler_that_says_nothing_does_not_hold_up_the_stream(server):
    class Mute(ReplayFeed):
        async def minutes(self, symbols, after_ms):
            await asyncio.sleep(3600)
            yield ClosedMinute(0, {})

    async def work() -> None:
        await publish(recorded(0, 20), server.url, STREAM, NAMES)
        link = connect(server.url)
        await link.xtrim(STREAM, maxlen=5 + 1, approximate=False)
        await link.aclose()
        feed = RedisFeed(server.url, STREAM, on_gap="fill", filler=Mute(CANDLES), patience_s=0.3)
        minutes = await take(feed, NAMES, minute_ms(9), 10)
        assert [bool(m.candles) for m in minutes] == [False] * 5 + [True] * 5
        assert [e.kind for e in feed.events()] == ["hole_left"]
        await feed.close()

    run(work)


def test_filling_needs_a_filler():
    with pytest.raises(UsageError, match="to fill them from"):
        RedisFeed("redis://127.0.0.1:1", STREAM, on_gap="fill")


def test_a_publisher_waits_for_a_server_that_is_not_there_yet(tmp_path):
    async def work() -> None:
        with RedisServer(tmp_path) as server:
            server.kill()
            publishing = asyncio.create_task(publish(recorded(0, 9), server.url, STREAM, NAMES))
            await asyncio.sleep(0.5)
            await asyncio.to_thread(server.start)
            await publishing
            feed = RedisFeed(server.url, STREAM)
            check(await take(feed, NAMES, minute_ms(-1), 9))
            await feed.close()

    run(work)
