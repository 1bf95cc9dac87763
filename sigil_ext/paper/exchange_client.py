"""One exchange's public market data through ccxt, with its habits tamed; no key is ever used.

A bad frame does not stop the reading of the next ones, rate limits and bans are waited out by all requests together, and
numbers are numbers. Never here: what a closed minute is (`exchange_feed`). Start at `ExchangeClient.candles`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

from sigil_ext.errors import UsageError, hint
from sigil_ext.paper.feed import MINUTE_MS, Clock, EventKind, Row

SYMBOLS_A_CONNECTION = 100  # Binance takes 200 subscriptions a stream; half of it leaves room
_CANDLE_COST = 1.2  # requests; Kraken's count, Binance counts less
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 30.0
_RATE_LIMIT_S = {418: 120.0, 429: 30.0}  # where the exchange does not say how long
_BAD_DATA = (ValueError, KeyError, TypeError, IndexError, AttributeError)


class Unreachable(Exception):
    """The exchange gave no usable answer; it may give one later."""


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
        clock: Clock,
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
        self._ccxt = importlib.import_module("ccxt.pro")  # takes seconds, so not before it is needed
        if name not in self._ccxt.exchanges:
            raise UsageError(f"unknown exchange '{name}'; {hint(name, self._ccxt.exchanges)}")
        self._clock = clock
        self._note = note
        self._exchange = _guarded(getattr(self._ccxt, name), self._garbage)(_options(name, rest_interval_ms))
        if not self._exchange.has.get("fetchOHLCV"):
            raise UsageError(f"exchange '{name}' offers no candles")
        _move(self._exchange.urls["api"], rest_url, ws_url)
        self._not_before_ms = 0
        self._failures = 0
        self._down = False

    @property
    def is_down(self) -> bool:
        """Return whether the last request got no usable answer."""
        return self._down

    @property
    def request_s(self) -> float:
        """Return how long the requests for a candle are apart, in seconds, when many are made."""
        return float(self._exchange.rateLimit) * _CANDLE_COST / 1000

    # --- requests -----------------------------------------------------------------------------------------------------

    async def time_ms(self) -> int:
        """Return the exchange's clock.

        Raises:
            Unreachable: no answer.
        """
        if not self._exchange.has.get("fetchTime"):
            return self._clock.now_ms()
        answer = await self._call(self._exchange.fetch_time, wait=True)
        if not isinstance(answer, int | float):
            self._note("garbage", None, f"an answer that is no time: {answer!r:.80}")
            raise Unreachable("no time in the answer")
        return int(answer)

    async def load(self) -> None:
        """Fetch which symbols there are and which of them trade.

        Raises:
            Unreachable: no answer.
        """
        await self._call(self._exchange.load_markets, True, wait=True)

    def why_not(self, symbol: str) -> str | None:
        """Return why `symbol` does not trade, by the last `load`; None where it does."""
        market = (self._exchange.markets or {}).get(_unified(symbol))
        if market is None:
            return "not listed"
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
        if self.why_not(symbol) == "not listed":
            raise NotListed(symbol)
        try:
            found = await self._call(
                self._exchange.fetch_ohlcv, _unified(symbol), "1m", since_ms, limit, wait=wait, symbol=symbol
            )
            return sorted(_row(bar) for bar in found)
        except self._ccxt.BadSymbol as error:
            raise NotListed(symbol) from error
        except _BAD_DATA as error:
            self._note("garbage", symbol, f"an answer that is no list of candles: {_short(error)}")
            raise Unreachable(f"{symbol}: {_short(error)}") from error

    async def _call(self, method: Callable[..., Any], *args: Any, wait: bool, symbol: str | None = None) -> Any:
        while self._clock.now_ms() < self._not_before_ms:
            if not wait:
                raise Unreachable("asked to wait")
            await self._clock.sleep((self._not_before_ms - self._clock.now_ms()) / 1000)
        try:
            answer = await method(*args)
        except (self._ccxt.DDoSProtection, self._ccxt.RateLimitExceeded) as error:
            self._slow_down(error)
            raise Unreachable(_short(error)) from error
        except self._ccxt.BadSymbol:
            raise
        except self._ccxt.NetworkError as error:
            self._failed(error)
            raise Unreachable(_short(error)) from error
        except (self._ccxt.BaseError, *_BAD_DATA) as error:
            self._note("garbage", symbol, f"an answer that cannot be read: {_short(error)}")
            self._failed(error)
            raise Unreachable(_short(error)) from error
        self._failures = 0
        if self._down:
            self._down = False
            self._note("back", None, "requests are answered again")
        return answer

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        self._patience(min(_FIRST_WAIT_S * 2 ** (self._failures - 1), _LONGEST_WAIT_S))
        # One failed request is no outage; a second one in a row is.
        if self._failures >= 2 and not self._down:
            self._down = True
            self._note("lost", None, f"requests are not answered: {_short(error)}")

    def _slow_down(self, error: Exception) -> None:
        banned = " 418 " in f" {error} "
        headers = {str(k).lower(): v for k, v in (self._exchange.last_response_headers or {}).items()}
        try:
            seconds = float(headers["retry-after"])
        except (KeyError, ValueError):
            seconds = _RATE_LIMIT_S[418 if banned else 429]
        if self._clock.now_ms() >= self._not_before_ms:  # of many requests under way the first one tells
            word = "banned for a while" if banned else "too many requests"
            self._note("rate_limited", None, f"{word}: no request for {seconds:.0f} s")
        self._patience(seconds)

    def _patience(self, seconds: float) -> None:
        self._not_before_ms = max(self._not_before_ms, self._clock.now_ms() + int(seconds * 1000))

    # --- watching -----------------------------------------------------------------------------------------------------

    def groups(self, symbols: Sequence[str]) -> list[list[str]]:
        """Return `symbols` in the groups that are watched together; empty where the exchange cannot be watched."""
        if self._exchange.has.get("watchOHLCVForSymbols"):
            return [list(symbols[i : i + SYMBOLS_A_CONNECTION]) for i in range(0, len(symbols), SYMBOLS_A_CONNECTION)]
        return [[symbol] for symbol in symbols] if self._exchange.has.get("watchOHLCV") else []

    async def watch(self, group: Sequence[str]) -> None:
        """Return when a candle of `group` changed; connects and subscribes where needed.

        Raises:
            Unreachable: the connection is lost or was refused.
        """
        try:
            if self._exchange.has.get("watchOHLCVForSymbols"):
                await self._exchange.watch_ohlcv_for_symbols([[_unified(s), "1m"] for s in group])
            else:
                await self._exchange.watch_ohlcv(_unified(group[0]), "1m")
        except (self._ccxt.BaseError, ConnectionError, *_BAD_DATA) as error:
            raise Unreachable(_short(error)) from error

    def watched(self, symbol: str, open_ms: int) -> Row | None:
        """Return the last value seen of a candle that a later one has followed; None while none has, or none was seen."""
        bars = (self._exchange.ohlcvs.get(_unified(symbol)) or {}).get("1m")
        if bars is None or not ({open_ms + MINUTE_MS, open_ms + 2 * MINUTE_MS} & bars.hashmap.keys()):
            return None
        bar = bars.hashmap.get(open_ms)
        try:
            return None if bar is None else _row(bar)
        except _BAD_DATA:
            return None

    def is_followed(self, symbol: str, open_ms: int) -> bool:
        """Return whether a candle later than `open_ms` was seen, so that this one is closed, if there is one."""
        bars = (self._exchange.ohlcvs.get(_unified(symbol)) or {}).get("1m")
        return bars is not None and bool({open_ms + MINUTE_MS, open_ms + 2 * MINUTE_MS} & bars.hashmap.keys())

    def break_off(self, reason: str) -> None:
        """Drop the connections, so that the next `watch` makes new ones."""
        for client in list((self._exchange.clients or {}).values()):
            client.on_error(self._ccxt.NetworkError(reason))

    async def close(self) -> None:
        """Give back all connections. May be called twice."""
        await self._exchange.close()

    def _garbage(self, error: Exception) -> None:
        self._note("garbage", None, f"a message that cannot be read: {_short(error)}")


def _guarded(kind: Any, on_garbage: Callable[[Exception], None]) -> Any:
    """Return ccxt's class `kind`, made to survive what a broken message does to it.

    In ccxt an exception while a message is handled ends the reading from that connection, silently and for good.
    """

    class Guarded(kind):  # type: ignore[misc]
        def client(self, url: str) -> Any:
            is_new = url not in (self.clients or {})
            client = super().client(url)
            if is_new:
                handle, reject = client.handle_text_or_binary_message, client.reject

                def handle_safely(data: Any) -> None:
                    try:
                        handle(data)
                    except (*_BAD_DATA, ArithmeticError) as error:
                        on_garbage(error)

                def reject_heard(result: Any, message_hash: str | None = None) -> Any:
                    futures = list(client.futures.values())
                    rejected = reject(result, message_hash)
                    for future in futures:  # only one of them is waited for; asyncio would complain about the others
                        if future.done() and not future.cancelled():
                            future.exception()
                    return rejected

                client.handle_text_or_binary_message, client.reject = handle_safely, reject_heard
            return client

        def handle_message(self, client: Any, message: Any) -> Any:
            for part in _one_symbol_each(message):
                super().handle_message(client, part)

    Guarded.__name__ = kind.__name__
    return Guarded


def _one_symbol_each(message: Any) -> Iterable[Any]:
    """Split a message of Kraken's with candles of several symbols: ccxt files all of them under the first one's name."""
    if not isinstance(message, dict) or message.get("channel") != "ohlc":
        return [message]
    data = message["data"]
    names = list(dict.fromkeys(bar["symbol"] for bar in data))
    return [{**message, "data": [bar for bar in data if bar["symbol"] == name]} for name in names]


def _options(name: str, rest_interval_ms: float | None) -> dict[str, Any]:
    options: dict[str, Any] = {"OHLCVLimit": 60}
    if name == "binance":
        options |= {"fetchMarkets": {"types": ["spot"]}, "defaultType": "spot", "fetchCurrencies": False}
    pace = {} if rest_interval_ms is None else {"rateLimit": rest_interval_ms}
    return {"enableRateLimit": True, "options": options, **pace}


def _move(urls: Any, rest_url: str | None, ws_url: str | None) -> None:
    """Replace scheme and host in all addresses of ccxt's tree `urls`; the paths stay."""
    for key, value in list(urls.items()):
        if isinstance(value, dict):
            _move(value, rest_url, ws_url)
            continue
        if not isinstance(value, str):
            continue
        base = ws_url if value.startswith("ws") else rest_url
        if base is not None:
            urls[key] = base.rstrip("/") + urlsplit(value).path


def _unified(symbol: str) -> str:
    return symbol.replace("-", "/")


def _row(bar: Sequence[Any]) -> Row:
    """Return ccxt's timestamp, open, high, low, close, volume in Jesse's order; Kraken's strings become numbers."""
    stamp, open_, high, low, close, volume = (float(value) for value in bar[:6])
    return (stamp, open_, close, high, low, volume)


def _short(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
