"""Feeds through Redis: one publisher fills a stream, sessions read it. Which server, which stream, how they stand.

Start at `run_publisher` and `open_redis_feed`.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import redis

from sigil_ext.bridge.candle_files import list_candle_files, load_candles
from sigil_ext.errors import SigilError, UsageError
from sigil_ext.paper import embedded_redis
from sigil_ext.paper.feed import MINUTE_MS, ClosedMinute, Feed, FeedEvent
from sigil_ext.paper.publisher import KEPT_MINUTES, STREAMS_KEY, about_key, holder_of, lock_key, publish
from sigil_ext.paper.redis_feed import OnGap, RedisFeed
from sigil_ext.paper.redis_link import TIMEOUT_S, Where
from sigil_ext.paper.replay_feed import ReplayFeed, Speed
from sigil_ext.paper.stream_entry import parse_id, readable
from sigil_ext.rules.symbols import to_jesse
from sigil_ext.settings.environment import load_environment
from sigil_ext.settings.project import Project, find_project
from sigil_ext.settings.redis_address import REDIS_URL_KEY

PublishedFeed = Literal["replay", "exchange"]
RECENT_MINUTES = 10
"""In how many of the newest minutes a symbol has to have a candle, not to be named as silent."""
BEHIND_MS = 3 * MINUTE_MS
"""An exchange's stream whose newest minute ended longer ago than this is behind."""


@dataclass(frozen=True, slots=True)
class PublishPlan:
    """What to publish: a recording out of `candles`, or the public candles of `exchange`.

    `start_ms` is where an empty stream begins; None: at the recording's first minute, or now. `symbols` None: all of
    `candles`. `kept_minutes` None: a week of an exchange, all of a recording. `base_url` is another server that speaks the
    exchange's protocol.
    """

    feed: PublishedFeed
    exchange: str = "binance"
    symbols: Sequence[str] | None = None
    candles: Path | None = None
    speed: Speed = "max"
    start_ms: int | None = None
    finish_ms: int | None = None
    stream: str | None = None
    kept_minutes: int | None = None
    standby: bool = False
    base_url: str | None = None


@dataclass(slots=True)
class Published:
    """What a publisher has done so far. `place` is the server, `ended` that the recording is over."""

    stream: str
    place: str
    symbols: int
    minutes: int = 0
    last_ms: int | None = None
    ended: bool = False


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """How one stream stands. `publisher` is who holds it, None where nobody does; `finding` is None where all is well.

    `dropped` are symbols of its oldest or newest minutes that are not published any more, `silent` those that are and had no
    candle in its last ten minutes: neither need be wrong.
    """

    name: str
    source: str
    symbols: tuple[str, ...]
    entries: int
    first_ms: int | None
    last_ms: int | None
    ended: bool
    publisher: str | None
    finding: str | None
    dropped: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """How the Redis server and its streams stand. `finding` is None where the server answers."""

    place: str
    configured: bool
    pid: int | None
    finding: str | None
    streams: tuple[StreamStatus, ...]


def default_stream(feed: PublishedFeed, exchange: str) -> str:
    """Return the stream that is meant where none is named: recordings and live minutes never share one."""
    return f"sigil:{feed}:{exchange}"


def find_server(project: Project) -> tuple[Where, str]:
    """Return how to find the Redis that is meant, and its place for messages; the embedded one is started.

    Raises:
        SettingsError: SIGIL_REDIS_URL cannot be read.
        SigilError: the embedded server cannot be started.
    """
    if (own := load_environment(project).redis()) is not None:
        return own.url.get_secret_value(), own.place
    place = embedded_redis.ensure_running(project).place
    return lambda: embedded_redis.revive(project).url.get_secret_value(), place


def open_redis_feed(
    stream: str, *, project: Project | None = None, on_gap: OnGap = "wait", filler: Feed | None = None,
    patience_s: float = 120.0, stale_after: int = 10,
) -> RedisFeed:  # fmt: skip
    """Return a feed that reads `stream` from the Redis that is meant."""
    where, _ = find_server(project or find_project())
    return RedisFeed(where, stream, on_gap=on_gap, filler=filler, patience_s=patience_s, stale_after=stale_after)


def run_publisher(
    plan: PublishPlan,
    *,
    project: Project | None = None,
    tell: Callable[[FeedEvent], None] = lambda event: None,
    begin: Callable[[Published], None] = lambda so_far: None,
    progress: Callable[[Published], None] = lambda so_far: None,
) -> Published:
    """Publish until the recording ends, SIGTERM or Ctrl-C; return what was done.

    Args:
        tell: is told what feed and server meet with.
        begin: is called once, when it is known where the minutes go.
        progress: is called with each minute that is in the stream.
    Raises:
        LockHeld: another publisher fills the stream.
        UsageError, CandleError: what to publish is not said, or is not there.
    """
    feed, symbols = _feed_of(plan)
    where, place = find_server(project or find_project())
    stream = plan.stream or default_stream(plan.feed, plan.exchange)
    so_far = Published(stream, place, len(symbols))
    begin(so_far)

    def on_minute(minute: ClosedMinute) -> None:
        so_far.minutes += 1
        so_far.last_ms = minute.open_ms
        progress(so_far)

    async def work() -> None:
        try:
            await publish(
                feed, where, stream, symbols,
                source=f"{plan.feed} {plan.exchange}", standby=plan.standby, tell=tell, on_minute=on_minute,
                **_span(plan),
            )  # fmt: skip
            so_far.ended = True
        finally:
            await feed.close()

    asyncio.run(_until_signalled(work()))
    return so_far


def feed_status(*, project: Project | None = None, stream: str | None = None) -> FeedStatus:
    """Return how the server and its streams stand (or `stream` alone), starting nothing.

    Raises:
        SettingsError: SIGIL_REDIS_URL cannot be read.
    """
    project = project or find_project()
    own = load_environment(project).redis()
    pid = None
    if own is None:
        known = embedded_redis.status(project)
        pid = known.pid
        if not known.running:
            does_not = (
                "answer; stop it with: sigil feed server stop" if pid else "run; start it with: sigil feed server start"
            )
            finding = f"does not {does_not}"
            return FeedStatus("the embedded Redis", False, pid, finding, ())
    address = own or embedded_redis.ensure_running(project)
    try:
        with redis.Redis.from_url(
            address.url.get_secret_value(), decode_responses=True, retry=None,
            socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S,
        ) as link:  # fmt: skip
            names = [stream] if stream else sorted(cast(set[str], link.smembers(STREAMS_KEY)))
            streams = [_stream_status(link, name) for name in names]
    except (redis.RedisError, OSError) as error:
        said = " ".join(str(error).split())[:200]
        return FeedStatus(address.place, own is not None, pid, f"does not answer: {said}", ())
    shown = tuple(s for s in streams if stream or s.entries or s.publisher)
    return FeedStatus(address.place, own is not None, pid, None, shown)


def _stream_status(link: redis.Redis, name: str) -> StreamStatus:
    about: dict[str, Any] = json.loads(cast(str, link.get(about_key(name))) or "{}")
    holder = cast(str | None, link.get(lock_key(name)))
    first = cast(Any, link.xrange(name, count=1))
    last = cast(Any, link.xrevrange(name, count=RECENT_MINUTES + 1))  # the newest may be the end of a recording
    ended = bool(last) and "end" in last[0][1]
    last_ms = parse_id(last[0][0])[0] if last else None
    publisher = holder_of(holder) if holder else None
    finding = None
    if publisher is None and not ended:
        finding = "no publisher fills it"
    elif last_ms is None:
        finding = "holds no minute yet"
    elif about.get("source", "").startswith("exchange") and time.time() * 1000 - last_ms - MINUTE_MS > BEHIND_MS:
        finding = f"is behind by {(time.time() * 1000 - last_ms) / MINUTE_MS - 1:.0f} min"
    published = frozenset(about.get("symbols", ()))
    recent = readable(last)[:RECENT_MINUTES]
    dropped = frozenset[str]().union(*(entry.published for entry in (*readable(first), *recent) if about)) - published
    silent = published.difference(*(entry.minute.candles for entry in recent))
    return StreamStatus(
        name, about.get("source", ""), tuple(sorted(published)), link.xlen(name),
        parse_id(first[0][0])[0] if first else None, last_ms, ended, publisher, finding,
        tuple(sorted(dropped)), tuple(sorted(silent)) if len(recent) == RECENT_MINUTES and not ended else (),
    )  # fmt: skip


def _feed_of(plan: PublishPlan) -> tuple[Feed, list[str]]:
    if plan.feed == "replay":
        if plan.candles is None:
            raise UsageError("--feed replay needs recorded candles: --candles DIR")
        candles = load_candles(plan.candles, plan.symbols, plan.start_ms, plan.finish_ms)
        return ReplayFeed(candles, speed=plan.speed, finish_ms=plan.finish_ms), sorted(candles)
    if plan.speed != "max" or plan.finish_ms is not None:
        raise UsageError("--speed and --finish go with --feed replay: an exchange has a speed of its own")
    from sigil_ext.paper.feeds import exchange_feed  # ccxt takes a second

    symbols = _symbols(plan)
    return exchange_feed(plan.exchange, symbols, base_url=plan.base_url), symbols


def _symbols(plan: PublishPlan) -> list[str]:
    if plan.symbols is None and plan.candles is not None:
        return sorted(file.symbol for file in list_candle_files(plan.candles))
    try:
        symbols = sorted({to_jesse(s) for s in plan.symbols or ()})
    except ValueError as error:
        raise UsageError(f"--symbols: {error}") from None
    if not symbols:
        raise UsageError("--feed exchange needs the symbols to publish: --symbols TST-USDT,DOGS-USDT")
    return symbols


def _span(plan: PublishPlan) -> dict[str, Any]:
    """Return where to begin and how much to keep, as `publish` wants it."""
    after = None if plan.start_ms is None else plan.start_ms - MINUTE_MS
    if plan.feed == "replay":
        return {"after_ms": after, "kept_minutes": plan.kept_minutes}
    kept = plan.kept_minutes or KEPT_MINUTES
    now_ms = int(time.time() * 1000) // MINUTE_MS * MINUTE_MS
    return {"after_ms": after, "kept_minutes": kept, "earliest_ms": now_ms - kept * MINUTE_MS}


async def _until_signalled(work: Any) -> None:
    """Run `work` until it ends, or cancel it at SIGTERM or Ctrl-C and return when it has cleared up."""
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        with suppress(asyncio.CancelledError):
            await task
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def start_server(project: Project | None = None) -> embedded_redis.Status:
    """Start the embedded Redis unless it runs; return how it stands."""
    project = project or find_project()
    _refuse_own(project)
    embedded_redis.ensure_running(project)
    return embedded_redis.status(project)


def stop_server(project: Project | None = None) -> bool:
    """Stop the embedded Redis; False if it was not running."""
    return embedded_redis.stop(project or find_project())


def _refuse_own(project: Project) -> None:
    if (own := load_environment(project).redis()) is not None:
        raise SigilError(f"{REDIS_URL_KEY} names {own.place}, so the embedded Redis is not used; remove the key first")
