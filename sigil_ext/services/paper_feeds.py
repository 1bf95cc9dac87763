"""Where a paper session's minutes come from, and what a new session begins with. Start at `open_source`."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sigil_ext.bridge.candle_files import CandleSet, load_candles
from sigil_ext.bridge.paper_strategy import PaperStrategy
from sigil_ext.bridge.routing import demand_one_quote
from sigil_ext.errors import CandleError, SigilError, UsageError
from sigil_ext.instants import clock
from sigil_ext.paper.conduct import Beginning, Conduct
from sigil_ext.paper.feed import MINUTE_MS, Feed, FeedEvent
from sigil_ext.paper.hosts import Subject, bar_minutes
from sigil_ext.paper.replay_feed import ReplayFeed, Speed
from sigil_ext.rules.symbols import to_jesse
from sigil_ext.settings.lookback import lookback_minutes
from sigil_ext.settings.project import Project

FeedName = Literal["replay", "exchange", "redis"]
OnGap = Literal["wait", "fill"]
Tell = Callable[[FeedEvent], None]

GROUP_MINUTES = 240  # of a recording at full speed that share a transaction, at most


@dataclass(frozen=True, slots=True)
class PaperRequest:
    """What `sigil run paper` was asked for. `symbols`: the pool of a new live session; None: what the feed has."""

    variant: Subject
    feed: FeedName = "replay"
    candles: Path | None = None
    start_ms: int | None = None
    finish_ms: int | None = None
    speed: Speed = "max"
    restart: bool = False
    fresh: bool = False
    until_end: bool | None = None
    alerts: bool | None = None
    exchange: str = "binance"
    symbols: tuple[str, ...] | None = None
    stream: str | None = None
    on_gap: OnGap = "wait"
    base_url: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """An open feed, how a session on it behaves, and how a new one begins. `last_ms`, `candles`: of a recording."""

    feed: Feed
    conduct: Conduct
    begin: Callable[[], Awaitable[Beginning]]
    last_ms: int | None = None
    candles: Mapping[str, CandleSet] | None = None

    @property
    def live(self) -> bool:
        """Return whether time there is the clock's."""
        return not self.conduct.patient


def open_source(request: PaperRequest, project: Project, known: tuple[str, ...] | None, tell: Tell) -> Source:
    """Return the source that `request` names.

    Args:
        known: symbols of the recorded session that goes on, None for a new one.
        tell: is told what is met with while the past is fetched.
    Raises:
        UsageError: something that this feed needs was not said, or something it cannot use was; or the pool has several
            quote currencies.
    """
    if known:
        demand_one_quote(
            known, "no session can trade it; end this one with --restart and the symbols of one: --symbols A,B"
        )
    match request.feed:
        case "replay":
            return _replay(request, known)
        case "exchange":
            return _exchange(request, known, tell)
        case "redis":
            return _redis(request, project, known, tell)


def refuse_misfits(request: PaperRequest) -> None:
    """Raise UsageError for what was asked for and does not go together."""
    if request.feed != "replay":
        if request.speed != "max" and request.feed == "exchange":
            raise UsageError("--speed goes with --feed replay: an exchange has a speed of its own")
        if request.start_ms is not None or request.finish_ms is not None:
            raise UsageError(f"--start and --finish go with --feed replay, not with --feed {request.feed}")
    if request.feed == "replay" and request.base_url is not None:
        raise UsageError("--exchange-url goes with a live feed, not with --feed replay")
    if request.feed != "redis" and (request.stream is not None or request.on_gap != "wait"):
        raise UsageError("--stream and --on-gap go with --feed redis")
    if request.feed == "replay" and request.candles is None:
        raise UsageError("--feed replay needs recorded candles: --candles DIR")


def _replay(request: PaperRequest, known: tuple[str, ...] | None) -> Source:
    before = None if request.start_ms is None else request.start_ms - warmup_minutes(request.variant) * MINUTE_MS
    assert request.candles is not None
    candles = load_candles(request.candles, request.symbols, before, request.finish_ms)
    demand_one_quote(known or candles)
    feed = ReplayFeed(candles, speed=request.speed, finish_ms=request.finish_ms)

    async def begin() -> Beginning:
        first, last = min(c.start_ms for c in candles.values()), max(c.finish_ms for c in candles.values())
        start = max(request.start_ms or 0, _boundary_from(first, request.variant))
        if start >= last:
            raise CandleError(f"{request.candles} holds no candles after the start")
        if isinstance(request.variant, PaperStrategy):
            _demand_boundary(start, request.variant)
            if before is None:  # as in a backtest: a first bar that is cut off is no bar
                return Beginning(sorted(candles), start, _before(candles, 0))
        return Beginning(sorted(candles), start, _before(candles, start))

    rushed = request.speed == "max"
    conduct = Conduct(
        "replay", patient=True, alerts=bool(request.alerts), durable=not rushed, group=GROUP_MINUTES if rushed else 1
    )
    return Source(feed, conduct, begin, max(c.finish_ms for c in candles.values()), candles)


def _exchange(request: PaperRequest, known: tuple[str, ...] | None, tell: Tell) -> Source:
    from sigil_ext.paper.feeds import exchange_feed  # ccxt takes a second

    symbols = known or _pool(request)
    demand_one_quote(symbols)
    feed = exchange_feed(request.exchange, symbols, base_url=request.base_url)
    conduct = Conduct("exchange", patient=False, alerts=request.alerts is not False, durable=True)
    return Source(feed, conduct, lambda: _begin_now(request, request.exchange, symbols, tell))


def _redis(request: PaperRequest, project: Project, known: tuple[str, ...] | None, tell: Tell) -> Source:
    from sigil_ext.services.feed import default_stream, feed_status, open_redis_feed

    stream = request.stream or default_stream("exchange", request.exchange)
    found = next((s for s in feed_status(project=project, stream=stream).streams if s.first_ms is not None), None)
    if found is None:
        raise UsageError(f"stream '{stream}' holds no minutes; fill it with: sigil feed publish --stream {stream} ...")
    kind, _, exchange = found.source.partition(" ")
    symbols = known or (_pool(request) if request.symbols else found.symbols)
    demand_one_quote(symbols)
    missing = sorted(set(symbols) - set(found.symbols))
    if missing:
        raise UsageError(
            f"stream '{stream}' does not carry {', '.join(missing)}; it carries {', '.join(found.symbols)}"
        )
    filler = None
    if request.on_gap == "fill":
        if kind != "exchange":
            raise UsageError("--on-gap fill goes with the stream of an exchange: a recording has no one else to ask")
        from sigil_ext.paper.feeds import exchange_feed

        filler = exchange_feed(exchange, symbols, base_url=request.base_url)
    feed = open_redis_feed(stream, project=project, on_gap=request.on_gap, filler=filler)
    conduct = Conduct("redis", patient=kind == "replay", alerts=request.alerts is not False, durable=True)

    async def begin() -> Beginning:
        if kind == "exchange":
            return await _begin_now(request, exchange, symbols, tell)
        assert found.first_ms is not None
        start = _boundary_from(found.first_ms, request.variant)
        candles = load_candles(request.candles, symbols, None, start) if request.candles else {}
        empty = {symbol: np.zeros((0, 6)) for symbol in symbols}
        return Beginning(symbols, start, empty | _before(candles, start))

    return Source(feed, conduct, begin)


async def demand_reachable(exchange: str, base_url: str | None = None) -> None:
    """Return when `exchange` answers.

    Raises:
        SigilError: it does not; one sentence says what is missing.
    """
    from sigil_ext.paper.feeds import reachable

    fine, said, _ = await reachable(exchange, base_url=base_url)
    if not fine:
        raise SigilError(
            f"live candles are missing: {said}; recorded ones need no network: --feed replay --candles DIR"
        )


async def _begin_now(request: PaperRequest, exchange: str, symbols: tuple[str, ...], tell: Tell) -> Beginning:
    """Begin at the last boundary of every timeframe, with the exchange's past before it; trade from the next bar on."""
    from sigil_ext.paper.feeds import history

    variant = request.variant
    await demand_reachable(exchange, request.base_url)
    now_ms = int(time.time() * 1000)
    start = now_ms - now_ms % (_longest(variant) * MINUTE_MS)
    past = await history(
        exchange, symbols, start - warmup_minutes(variant) * MINUTE_MS, start, base_url=request.base_url,
        progress=_steps(tell), tell=tell,
    )  # fmt: skip
    bar = bar_minutes(variant) * MINUTE_MS
    now_ms = int(time.time() * 1000)  # fetching the past took its time
    return Beginning(sorted(symbols), start, past, trades_from_ms=(now_ms // bar + 1) * bar)


def _steps(tell: Tell) -> Callable[[int, int], None]:
    """Say at every tenth how much of the past is fetched."""
    told = -1

    def progress(done: int, whole: int) -> None:
        nonlocal told
        tenth = 10 * done // max(1, whole)
        if tenth > told:
            told = tenth
            tell(FeedEvent(int(time.time() * 1000), "hole_filled", None, f"history: {10 * tenth} % fetched"))

    return progress


def _pool(request: PaperRequest) -> tuple[str, ...]:
    if not request.symbols:
        raise UsageError(
            f"a new session on --feed {request.feed} needs its symbols: --symbols TST-USDT,DOGS-USDT or --symbols @FILE"
        )
    try:
        return tuple(sorted({to_jesse(symbol) for symbol in request.symbols}))
    except ValueError as error:
        raise UsageError(f"--symbols: {error}") from None


def _before(candles: dict[str, CandleSet], start_ms: int) -> dict[str, NDArray[np.float64]]:
    return {symbol: c.candles[c.candles[:, 0] < start_ms] for symbol, c in candles.items()}


def _demand_boundary(start_ms: int, what: PaperStrategy) -> None:
    if start_ms % (what.longest_minutes * MINUTE_MS):
        raise UsageError(
            f"--start {clock(start_ms)} is in the middle of a bar of {what.longest_minutes} minutes; begin where one begins"
        )


def _boundary_from(first_ms: int, variant: Subject) -> int:
    step = _longest(variant) * MINUTE_MS
    return -(-first_ms // step) * step


def warmup_minutes(variant: Subject) -> int:
    """Return how many minutes before its start a variant looks back at most; a strategy is given as many."""
    return lookback_minutes(variant, _longest(variant))


def _longest(variant: Subject) -> int:
    if isinstance(variant, PaperStrategy):
        return variant.longest_minutes
    return max(variant.settings.signal_minutes, variant.settings.atr_minutes)
