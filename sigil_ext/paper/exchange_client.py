"""One exchange's public market data through ccxt, with its habits tamed; no key is ever used.

Rate limits and bans are waited out by all requests together; an answer is candles, or one of three errors. Never here: what a
closed minute is (`exchange_feed`), ccxt's insides (`exchange_dialect`). Start at `ExchangeClient.candles`.
"""

from __future__ import annotations

import importlib
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sigil_ext.paper.exchange_dialect import BAD_DATA, connect, short, to_row, unified
from sigil_ext.paper.feed import MINUTE_MS, EventKind, Row, SteadyClock

NOT_LISTED = "not listed"
SYMBOLS_A_GROUP = 100  # of those that are subscribed to with one message
_CANDLE_COST = 1.2  # requests; Kraken's count, Binance counts less
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 30.0
_RATE_LIMIT_S = {418: 120.0, 429: 30.0}  # where the exchange does not say how long
_LONGEST_BAN_S = 3 * 86_400.0  # Binance's longest; a larger figure is a mistake
_FINALS_KEPT = 10  # candles of a symbol


class Unreachable(Exception):
    """The exchange gave no usable answer; it may give one later."""


class Unreadable(Unreachable):
    """The exchange answered, but not with what was asked for."""


class NotListed(Exception):
    """The exchange does not know the symbol (any more)."""


class Note(Protocol):
    """Takes an event."""

    def __call__(self, kind: EventKind, symbol: str | None, detail: str) -> None:
        """Tell that something unusual happened."""
        ...


class ExchangeClient:
    """Requests and watches candles of 1m. Symbols are spelt TST-USDT here and TST/USDT inside."""

    def __init__(
        self,
        name: str,
        clock: SteadyClock,
        note: Note,
        *,
        rest_url: str | None = None,
        ws_url: str | None = None,
        rest_interval_ms: float | None = None,
    ) -> None:
        """Prepare; nothing is connected before the first call.

        Args:
            name: as ccxt spells it: binance, kraken, ...
            rest_url, ws_url: scheme and host to use instead of the exchange's own, for tests and mirrors.
            rest_interval_ms: shortest time between requests; None for what ccxt holds right for the exchange.
        Raises:
            UsageError: ccxt knows no such exchange, or it offers no candles.
        """
        self.name = name
        self._clock = clock
        self._note = note
        self._exchange = connect(name, self, rest_url=rest_url, ws_url=ws_url, rest_interval_ms=rest_interval_ms)
        self._ccxt = importlib.import_module("ccxt")
        self._not_before_ms = 0  # by the steady clock
        self._failures = 0
        self._counted_ms = -1  # requests sent before this belong to a failure that is counted
        self._down = False
        self._finals: dict[str, deque[int]] = defaultdict(lambda: deque(maxlen=_FINALS_KEPT))
        self.says_final = False  # whether the exchange says itself that a candle is closed
        self.message_ms: int | None = None  # when anything came through a websocket, by the steady clock

    @property
    def is_down(self) -> bool:
        """Return whether the last requests got no usable answer."""
        return self._down

    @property
    def is_struggling(self) -> bool:
        """Return whether requests fail or have to wait just now."""
        return self._failures > 0 or self._clock.steady_ms() < self._not_before_ms

    @property
    def request_s(self) -> float:
        """Return how long the requests for a candle are apart, in seconds, when many are made."""
        return float(self._exchange.rateLimit) * _CANDLE_COST / 1000

    @property
    def tells_time(self) -> bool:
        """Return whether the exchange can be asked for its clock."""
        return bool(self._exchange.has.get("fetchTime"))

    # --- requests -----------------------------------------------------------------------------------------------------

    async def time_ms(self, *, wait: bool = True) -> int:
        """Return the exchange's clock, or this machine's where it does not tell.

        Raises:
            Unreachable: no answer.
        """
        if not self.tells_time:
            return self._clock.now_ms()
        answer = await self._call(self._exchange.fetch_time, wait=wait)
        if not isinstance(answer, int | float):
            self._note("garbage", None, f"an answer that is no time: {answer!r:.80}")
            raise Unreadable("no time in the answer")
        return int(answer)

    async def load(self, *, wait: bool = True) -> None:
        """Fetch which symbols there are and which of them trade.

        Raises:
            Unreachable: no answer.
        """
        before = self._exchange.markets or {}
        await self._call(self._exchange.load_markets, True, wait=wait)
        if len(self._exchange.markets or {}) <= len(before) // 2:
            self._exchange.set_markets(list(before.values()))
            self._note("garbage", None, "a listing that lacks half of the symbols and more")
            raise Unreadable("no listing in the answer")

    def why_not(self, symbol: str) -> str | None:
        """Return why `symbol` does not trade, by the last `load`; None where it does."""
        market = (self._exchange.markets or {}).get(unified(symbol))
        if market is None:
            return NOT_LISTED
        if market.get("active") is False:
            status = (market.get("info") or {}).get("status")
            return f"halted, status {status}" if status else "halted"
        return None

    def listed(self) -> list[str]:
        """Return the symbols that the exchange knows, by the last `load`."""
        return [str(symbol).replace("/", "-") for symbol in self._exchange.markets or () if ":" not in symbol]

    async def candles(self, symbol: str, since_ms: int, limit: int, *, wait: bool = False) -> list[Row]:
        """Return candles from `since_ms` on, oldest first; the last one may still be forming.

        Args:
            wait: whether to wait where a rate limit or a failure asks for patience.
        Raises:
            Unreachable: no usable answer, or patience is asked for and `wait` is false.
            NotListed: the exchange does not know the symbol.
        """
        if self.why_not(symbol) == NOT_LISTED:
            raise NotListed(symbol)
        fetch = self._exchange.fetch_ohlcv
        try:
            found = await self._call(fetch, unified(symbol), "1m", since_ms, limit, wait=wait, symbol=symbol)
            return sorted(to_row(bar) for bar in found)
        except self._ccxt.BadSymbol as error:
            raise NotListed(symbol) from error
        except BAD_DATA as error:
            self._note("garbage", symbol, f"an answer that is no list of candles: {short(error)}")
            raise Unreadable(f"{symbol}: {short(error)}") from error

    async def _call(self, method: Callable[..., Any], *args: Any, wait: bool, symbol: str | None = None) -> Any:
        while self._clock.steady_ms() < self._not_before_ms:
            if not wait:
                raise Unreachable("asked to wait")
            await self._clock.sleep((self._not_before_ms - self._clock.steady_ms()) / 1000)
        sent_ms = self._clock.steady_ms()
        try:
            answer = await method(*args)
        except (self._ccxt.DDoSProtection, self._ccxt.RateLimitExceeded) as error:
            self._slow_down(error)
            raise Unreachable(short(error)) from error
        except self._ccxt.BadSymbol:
            raise
        except self._ccxt.NetworkError as error:
            self._failed(error, sent_ms)
            raise Unreachable(short(error)) from error
        except (self._ccxt.BaseError, *BAD_DATA) as error:
            self._note("garbage", symbol, f"an answer that cannot be read: {short(error)}")
            if symbol is None:  # a symbol that cannot be had must not stop the others
                self._failed(error, sent_ms)
            raise Unreadable(short(error)) from error
        self._failures = 0
        if self._down:
            self._down = False
            self._note("back", None, "requests are answered again")
        return answer

    def _failed(self, error: Exception, sent_ms: int) -> None:
        if sent_ms < self._counted_ms:
            return  # of many requests that fail together the first one counts
        self._failures += 1
        self._patience(min(_FIRST_WAIT_S * 2 ** (self._failures - 1), _LONGEST_WAIT_S))
        self._counted_ms = self._not_before_ms
        # One failed request is no outage; a second one in a row is.
        if self._failures >= 2 and not self._down:
            self._down = True
            self._note("lost", None, f"requests are not answered: {short(error)}")

    def _slow_down(self, error: Exception) -> None:
        banned = " 418 " in f" {error} "
        headers = {str(k).lower(): v for k, v in (self._exchange.last_response_headers or {}).items()}
        try:
            seconds = min(float(headers["retry-after"]), _LONGEST_BAN_S)
        except (KeyError, ValueError):
            seconds = _RATE_LIMIT_S[418 if banned else 429]
        if self._clock.steady_ms() >= self._not_before_ms:  # of many requests under way the first one tells
            word = "banned for a while" if banned else "too many requests"
            self._note("rate_limited", None, f"{word}: no request for {seconds:.0f} s")
        self._patience(seconds)

    def _patience(self, seconds: float) -> None:
        self._not_before_ms = max(self._not_before_ms, self._clock.steady_ms() + int(seconds * 1000))

    # --- watching -----------------------------------------------------------------------------------------------------

    def groups(self, symbols: Sequence[str]) -> list[list[str]]:
        """Return `symbols` in the groups that are watched together; empty where the exchange cannot be watched."""
        if self._exchange.has.get("watchOHLCVForSymbols"):
            return [list(symbols[i : i + SYMBOLS_A_GROUP]) for i in range(0, len(symbols), SYMBOLS_A_GROUP)]
        return [[symbol] for symbol in symbols] if self._exchange.has.get("watchOHLCV") else []

    async def watch(self, group: Sequence[str]) -> None:
        """Return when a candle of `group` changed; connects and subscribes where needed.

        Raises:
            Unreachable: the connection is lost or was refused.
        """
        try:
            if self._exchange.has.get("watchOHLCVForSymbols"):
                await self._exchange.watch_ohlcv_for_symbols([[unified(s), "1m"] for s in group])
            else:
                await self._exchange.watch_ohlcv(unified(group[0]), "1m")
        except (self._ccxt.BaseError, ConnectionError, *BAD_DATA) as error:
            raise Unreachable(short(error)) from error

    def watched(self, symbol: str, open_ms: int) -> Row | None:
        """Return a candle's last value seen, once it is closed by all signs; None before, or where none was seen.

        The signs: the exchange's own word where it gives it, as Binance does; else a later candle.
        """
        is_closed = open_ms in self._finals[symbol] if self.says_final else self.is_followed(symbol, open_ms)
        return self.last_seen(symbol, open_ms) if is_closed else None

    def last_seen(self, symbol: str, open_ms: int) -> Row | None:
        """Return a candle's last value seen, closed or not; None where none was seen."""
        bar = self._bars(symbol).get(open_ms)
        try:
            return None if bar is None else to_row(bar)
        except BAD_DATA:
            return None

    def was_seen(self, symbol: str, open_ms: int) -> bool:
        """Return whether anything of that candle was seen."""
        return open_ms in self._bars(symbol)

    def is_followed(self, symbol: str, open_ms: int) -> bool:
        """Return whether a later candle than `open_ms` was seen: that one is closed, if there is one."""
        return bool({open_ms + MINUTE_MS, open_ms + 2 * MINUTE_MS} & self._bars(symbol).keys())

    def is_trading(self, symbol: str, open_ms: int) -> bool:
        """Return whether a candle of that minute with a volume was seen."""
        bar = self._bars(symbol).get(open_ms)
        return bar is not None and float(bar[5] or 0) > 0

    def _bars(self, symbol: str) -> dict[int, Any]:
        bars = (self._exchange.ohlcvs.get(unified(symbol)) or {}).get("1m")
        return {} if bars is None else bars.hashmap

    def break_off(self, reason: str) -> None:
        """Drop the connections, so that the next `watch` makes new ones."""
        for client in list((self._exchange.clients or {}).values()):
            client.on_error(self._ccxt.NetworkError(reason))

    async def close(self) -> None:
        """Give back all connections. May be called twice."""
        await self._exchange.close()

    def on_message(self) -> None:
        """Take note that the websocket lives."""
        self.message_ms = self._clock.steady_ms()

    def on_garbage(self, error: Exception) -> None:
        """Take note of a message that cannot be read."""
        self._note("garbage", None, f"a message that cannot be read: {short(error)}")

    def on_final(self, symbol: str, open_ms: int) -> None:
        """Take note that the exchange calls a candle closed."""
        self.says_final = True
        self._finals[symbol].append(open_ms)
