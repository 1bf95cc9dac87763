"""What services ask of an exchange: a feed of live minutes, the candles before them, and whether it answers at all.

    feed = exchange_feed("binance", ["TST-USDT", "DOGS-USDT"])
    candles = await history("binance", ["TST-USDT"], start_ms, end_ms, progress=show)
    is_fine, sentence, skew_ms = await reachable("binance")

No key is needed or used. `base_url` leads to another server that speaks the exchange's protocol: a mirror, or a test's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tenacity

from sigil_ext.bridge.candle_checks import describe_time
from sigil_ext.errors import ExchangeUnreachable, UnknownSymbol, UsageError
from sigil_ext.paper.assembler import candle_fault
from sigil_ext.paper.exchange_client import NOT_LISTED, ExchangeClient, NotListed, Unreachable
from sigil_ext.paper.exchange_feed import Confirm, ExchangeFeed
from sigil_ext.paper.exchange_history import fetch_range
from sigil_ext.paper.exchange_time import ExchangeTime, describe_skew
from sigil_ext.paper.feed import MINUTE_MS, EventKind, FeedEvent, Row, SteadyClock, SystemClock

Array = npt.NDArray[np.float64]
Progress = Callable[[int, int], None]
Tell = Callable[[FeedEvent], None]

_READERS = 8
_SETTLE_MS = 2000  # a candle is left alone this long after its end: exchanges still correct it


def exchange_feed(
    exchange: str,
    symbols: Sequence[str],
    *,
    base_url: str | None = None,
    grace_ms: int = 10_000,
    confirm: Confirm = "auto",
    stale_after: int = 10,
    clock: SteadyClock | None = None,
    **options: Any,
) -> ExchangeFeed:
    """Return a feed of the exchange's public candles; nothing is connected before its first minute is asked for.

    Args:
        exchange: as ccxt spells it: binance, kraken, ...
        symbols: what will be followed, as TST-USDT; checked here, so that a mistake shows before anything starts.
        base_url: scheme and host (http://127.0.0.1:8080) instead of the exchange's own, for REST and websocket.
        grace_ms, confirm, stale_after, options: settings of `ExchangeFeed`, see docs/feeds.md.
    Raises:
        UsageError: ccxt knows no such exchange, it has no candles of one minute, or a symbol is not spelt TST-USDT.
    """
    _check_spelling(symbols)
    rest_url, ws_url = _urls(base_url)
    return ExchangeFeed(
        exchange, rest_url, ws_url, grace_ms=grace_ms, confirm=confirm, stale_after=stale_after, clock=clock, **options
    )


async def history(
    exchange: str,
    symbols: Sequence[str],
    start_ms: int,
    end_ms: int,
    *,
    base_url: str | None = None,
    progress: Progress | None = None,
    tell: Tell | None = None,
    patience_s: float = 120.0,
    clock: SteadyClock | None = None,
    rest_interval_ms: float | None = None,
) -> dict[str, Array]:
    """Return the closed 1m candles of each symbol whose open times lie in [start_ms, end_ms).

    What the exchange does not have stays absent. An exchange may keep less than is asked for (Kraken the last 720 minutes),
    not list a symbol, or send nonsense; each is told by an event ("hole_left", "halted", "garbage"), and the array is
    shorter, or empty.

    Args:
        progress: called with candle minutes done and in all, after each answer.
        tell: called with each event.
        patience_s: how long the exchange may be out of reach before it is given up; asked patience (429, 418) counts too.
    Returns:
        symbol -> shape (n, 6), Jesse's column order, times in ms, oldest first, each once.
    Raises:
        UsageError: as `exchange_feed`, or start_ms is not before end_ms.
        UnknownSymbol: the exchange lists none of `symbols`.
        ExchangeUnreachable: it did not answer for `patience_s`.
    """
    _check_spelling(symbols)
    if start_ms >= end_ms:
        raise UsageError(
            f"a history must begin before it ends, was {describe_time(start_ms)} to {describe_time(end_ms)}"
        )
    loader = _Loader(exchange, base_url, tell, patience_s, clock or SystemClock(), rest_interval_ms)
    try:
        return await loader.load(tuple(sorted(set(symbols))), start_ms, end_ms, progress)
    finally:
        await loader.close()


async def reachable(
    exchange: str, *, base_url: str | None = None, timeout_s: float = 10.0, clock: SteadyClock | None = None
) -> tuple[bool, str, int | None]:
    """Return whether the exchange answers, a sentence on it, and how far its clock is ahead of this one, in ms.

    Never raises: an unknown name is a False with its sentence. The skew is None where there is no answer or no clock to ask.
    """
    time = clock or SystemClock()
    rest_url, ws_url = _urls(base_url)
    try:
        client = ExchangeClient(exchange, time, _ignore, rest_url=rest_url, ws_url=ws_url)
    except UsageError as error:
        return False, str(error), None
    try:
        async with asyncio.timeout(timeout_s):
            return await _look(client, time)
    except TimeoutError:
        return False, f"{exchange} does not answer within {timeout_s:g} s; {_way_out('')}", None
    except Unreachable as error:
        return False, f"{exchange} cannot be reached ({error}); {_way_out(str(error))}", None
    finally:
        await client.close()


async def _look(client: ExchangeClient, clock: SteadyClock) -> tuple[bool, str, int | None]:
    began = clock.steady_ms()
    if not client.tells_time:
        await client.load(wait=False)
        return True, f"{client.name} answers in {clock.steady_ms() - began} ms; it does not tell the time", None
    there = ExchangeTime(client, clock)
    await there.measure(wait=False)
    answers = f"{client.name} answers in {2 * there.unsure_ms} ms"
    return True, f"{answers}; {describe_skew(there.skew_ms)}", there.skew_ms


class _Loader:
    """Fetches the past of many symbols with one client."""

    def __init__(
        self,
        name: str,
        base_url: str | None,
        tell: Tell | None,
        patience_s: float,
        clock: SteadyClock,
        pace: float | None,
    ) -> None:
        rest_url, ws_url = _urls(base_url)
        self._clock, self._tell = clock, tell
        self._client = ExchangeClient(name, clock, self._note, rest_url=rest_url, ws_url=ws_url, rest_interval_ms=pace)
        self._patience_s = patience_s
        self._readers = asyncio.Semaphore(_READERS)
        self._answered_ms = clock.steady_ms()
        self._done = 0

    async def load(
        self, symbols: tuple[str, ...], start_ms: int, end_ms: int, progress: Progress | None
    ) -> dict[str, Array]:
        await self._patiently(self._client.load)
        unlisted = [symbol for symbol in symbols if self._client.why_not(symbol) == NOT_LISTED]
        if len(unlisted) == len(symbols):
            raise UnknownSymbol(symbols[0], self._client.listed())
        now = await self._patiently(self._client.time_ms)
        begin = -(-start_ms // MINUTE_MS) * MINUTE_MS
        last_closed = (now - _SETTLE_MS) // MINUTE_MS * MINUTE_MS - MINUTE_MS
        until = min((end_ms - 1) // MINUTE_MS * MINUTE_MS, last_closed)
        wanted = max(0, (until - begin) // MINUTE_MS + 1)
        show = progress or (lambda done, whole: None)

        async def one(symbol: str) -> list[Row]:
            rows = await self._one(symbol, begin, until, lambda n: show(self._count(n), wanted * len(symbols)))
            self._tell_missing(symbol, rows, begin, until)
            return rows

        try:
            async with asyncio.TaskGroup() as group:  # one that gives up takes the others with it
                tasks = {symbol: group.create_task(one(symbol)) for symbol in symbols}
        except ExceptionGroup as several:
            raise several.exceptions[0] from None
        return {symbol: np.array(task.result(), dtype=np.float64).reshape(-1, 6) for symbol, task in tasks.items()}

    async def close(self) -> None:
        await self._client.close()

    async def _one(self, symbol: str, begin: int, until: int, advance: Callable[[int], None]) -> list[Row]:
        cursor = begin

        async def page(symbol: str, since_ms: int, limit: int) -> list[Row]:
            nonlocal cursor
            async with self._readers:
                rows: list[Row] = await self._patiently(self._client.candles, symbol, since_ms, limit)
            reached = min(max([since_ms, *(int(row[0]) + MINUTE_MS for row in rows)]), until + MINUTE_MS)
            advance((reached - cursor) // MINUTE_MS)
            cursor = reached
            return rows

        try:
            rows = await fetch_range(page, symbol, begin, until)
        except NotListed:
            self._note("halted", symbol, f"{self._client.name} does not list it, so there are no candles of it")
            rows = []
        advance((max(begin, until + MINUTE_MS) - cursor) // MINUTE_MS)
        return [row for row in rows if not self._is_garbage(symbol, row, until)]

    def _is_garbage(self, symbol: str, row: Row, until: int) -> bool:
        fault = candle_fault(row, until + MINUTE_MS)
        if fault:
            self._note("garbage", symbol, fault)
        return fault is not None

    def _tell_missing(self, symbol: str, rows: list[Row], begin: int, until: int) -> None:
        """Tell what is missing at the beginning: single absent minutes are what thin coins are like."""
        first = int(rows[0][0]) if rows else until + MINUTE_MS
        missing = (first - begin) // MINUTE_MS
        if missing > 0 and self._client.why_not(symbol) != NOT_LISTED:
            since = f"none before {describe_time(first)}" if rows else f"none until {describe_time(until)}"
            detail = f"{self._client.name} has {since}: the first {missing} min asked for are missing"
            self._note("hole_left", symbol, detail)

    def _count(self, minutes: int) -> int:
        self._done += minutes
        return self._done

    def _note(self, kind: EventKind, symbol: str | None, detail: str) -> None:
        if self._tell is not None:
            self._tell(FeedEvent(self._clock.now_ms(), kind, symbol, detail))

    async def _patiently(self, call: Callable[..., Any], *args: Any) -> Any:
        began = self._clock.steady_ms()
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(Unreachable),
            stop=lambda _: self._clock.steady_ms() - max(began, self._answered_ms) > self._patience_s * 1000,
            wait=tenacity.wait_exponential_jitter(multiplier=0.5, max=10, jitter=0.5),
            sleep=self._clock.sleep,
            reraise=True,
        )
        try:
            answer: Any = await retrying(call, *args)
        except Unreachable as error:
            raise ExchangeUnreachable(
                f"{self._client.name} gave no usable answer for {self._patience_s:g} s ({error}); {_way_out(str(error))}"
            ) from error
        self._answered_ms = self._clock.steady_ms()
        return answer


def _check_spelling(symbols: Sequence[str]) -> None:
    if not symbols:
        raise UsageError("a feed needs at least one symbol, such as TST-USDT")
    for symbol in symbols:
        base, dash, quote = symbol.partition("-")
        if not (base and dash and quote) or "/" in symbol or ":" in symbol:
            raise UsageError(f"symbol '{symbol}' is not spelt as base and quote with a dash, such as TST-USDT")


def _urls(base_url: str | None) -> tuple[str | None, str | None]:
    """Return the addresses of REST and websocket.

    Raises:
        UsageError: no http or https address.
    """
    if base_url is None:
        return None, None
    if not base_url.startswith(("http://", "https://")):
        raise UsageError(f"the exchange's base URL must begin with http:// or https://, was '{base_url}'")
    return base_url, "ws" + base_url.removeprefix("http")


def _way_out(error: str) -> str:
    if "451" in error or "restricted location" in error:
        return "it does not serve this country; choose another exchange, such as kraken"
    return "check the network, a proxy (HTTPS_PROXY) or a firewall, or choose another exchange"


def _ignore(kind: EventKind, symbol: str | None, detail: str) -> None:
    """Leave an event alone: whoever asks whether an exchange answers gets one sentence, not its story."""
