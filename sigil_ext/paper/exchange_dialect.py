"""ccxt's classes, made to survive what exchanges send; how ccxt spells symbols, candles and addresses.

Nothing here waits or decides. Start at `connect`.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterable, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

from sigil_ext.errors import UsageError, hint
from sigil_ext.paper.feed import Row

BAD_DATA = (ValueError, KeyError, TypeError, IndexError, AttributeError, ArithmeticError)
_PING_MS = 20_000  # a connection that does not answer two of these is dead; ccxt's 3 min for Binance are three candles
_LOOKS_A_REQUEST = 5  # ccxt looks a thousand times a second whether the next request may go


class Ear(Protocol):
    """Hears what comes through the websockets."""

    def on_message(self) -> None:
        """Anything came: the connection lives."""
        ...

    def on_garbage(self, error: Exception) -> None:
        """A message could not be read."""
        ...

    def on_final(self, symbol: str, open_ms: int) -> None:
        """The exchange said itself that a candle (TST-USDT) is closed."""
        ...


def ccxt_names() -> list[str]:
    """Return the exchanges that ccxt knows."""
    return list(importlib.import_module("ccxt").exchanges)


def connect(name: str, ear: Ear, *, rest_url: str | None, ws_url: str | None, rest_interval_ms: float | None) -> Any:
    """Return ccxt's object for the exchange `name`; nothing is connected yet.

    Raises:
        UsageError: ccxt knows no such exchange, or it offers no candles of 1m.
    """
    watching = importlib.import_module("ccxt.pro")  # takes seconds, so not before it is needed
    if name in watching.exchanges:
        kind = getattr(watching, name)
    elif name in ccxt_names():
        kind = getattr(importlib.import_module("ccxt.async_support"), name)
    else:
        raise UsageError(f"ccxt knows no exchange '{name}'; {hint(name, ccxt_names())}")
    exchange = _guarded(kind, ear)(_options(name, rest_interval_ms, is_moved=rest_url is not None))
    # "emulated" would put candles together from trades: not what the exchange calls its candles
    if exchange.has.get("fetchOHLCV") is not True or "1m" not in (exchange.timeframes or {"1m": "1m"}):
        raise UsageError(f"exchange '{name}' offers no candles of one minute; take another, such as binance or kraken")
    exchange.streaming["keepAlive"] = min(_PING_MS, exchange.streaming.get("keepAlive", _PING_MS))
    exchange.tokenBucket["delay"] = min(max(exchange.rateLimit / 1000 / _LOOKS_A_REQUEST, 0.005), 0.1)
    exchange.init_throttler()
    _move(exchange.urls["api"], rest_url, ws_url)
    return exchange


def unified(symbol: str) -> str:
    """Return TST/USDT for TST-USDT."""
    return symbol.replace("-", "/")


def to_row(bar: Sequence[Any]) -> Row:
    """Return ccxt's timestamp, open, high, low, close, volume in Jesse's order; Kraken's strings become numbers.

    Raises:
        ValueError, TypeError: not six finite numbers.
    """
    row = tuple(float(value) for value in bar[:6])
    stamp, open_, high, low, close, volume = row
    if not all(math.isfinite(value) for value in row):
        raise ValueError(f"not six finite numbers: {bar!r:.120}")
    return (stamp, open_, close, high, low, volume)


def short(error: BaseException) -> str:
    """Return the error in one line of at most 200 characters."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def _guarded(kind: Any, ear: Ear) -> Any:
    """Return ccxt's class `kind`, made to survive what a broken message does to it.

    In ccxt an exception while a message is handled ends the reading from that connection, silently and for good.
    """

    unreadable = importlib.import_module("ccxt").BadResponse

    class Guarded(kind):  # type: ignore[misc]
        def client(self, url: str) -> Any:
            is_new = url not in (self.clients or {})
            client = super().client(url)
            if is_new:
                _guard(client, ear)
            return client

        def handle_errors(self, code: int, reason: str, url: str, method: str, *rest: Any) -> Any:
            found = super().handle_errors(code, reason, url, method, *rest)
            body, answer = rest[1:3]
            if answer is None and code < 400:  # ccxt makes an empty list of it: "no candles"
                raise unreadable(f"{self.id} {method} {url} is not JSON: {body!r:.40}")
            return found

        def handle_message(self, client: Any, message: Any) -> Any:
            for part in _one_symbol_each(message):
                super().handle_message(client, part)
            closed = _closed_by_binance(message)
            if closed is not None:
                market_id, open_ms = closed
                symbol = self.safe_symbol(market_id, None, None, "spot")
                ear.on_final(symbol.replace("/", "-"), open_ms)

    Guarded.__name__ = kind.__name__
    return Guarded


def _guard(client: Any, ear: Ear) -> None:
    handle, reject = client.handle_text_or_binary_message, client.reject

    def handle_safely(data: Any) -> None:
        ear.on_message()
        try:
            handle(data)
        except BAD_DATA as error:
            ear.on_garbage(error)

    def reject_heard(result: Any, message_hash: str | None = None) -> Any:
        futures = list(client.futures.values())
        rejected = reject(result, message_hash)
        for future in futures:  # only one of them is waited for; asyncio would complain about the others
            if future.done() and not future.cancelled():
                future.exception()
        return rejected

    client.handle_text_or_binary_message, client.reject = handle_safely, reject_heard


def _one_symbol_each(message: Any) -> Iterable[Any]:
    """Split a message of Kraken's with candles of several symbols: ccxt files all of them under the first one's name."""
    if not isinstance(message, dict) or message.get("channel") != "ohlc":
        return [message]
    data = message["data"]
    names = list(dict.fromkeys(bar["symbol"] for bar in data))
    return [{**message, "data": [bar for bar in data if bar["symbol"] == name]} for name in names]


def _closed_by_binance(message: Any) -> tuple[str, int] | None:
    """Return symbol and time of a candle that Binance calls closed; ccxt throws that word away."""
    if not isinstance(message, dict) or message.get("e") != "kline":
        return None
    bar = message["k"]
    return (str(bar["s"]), int(bar["t"])) if bar["x"] is True and bar["i"] == "1m" else None


def _options(name: str, rest_interval_ms: float | None, *, is_moved: bool) -> dict[str, Any]:
    options: dict[str, Any] = {"OHLCVLimit": 60}
    if name == "binance":
        options |= {"fetchMarkets": {"types": ["spot"]}, "defaultType": "spot", "fetchCurrencies": False}
    pace = {} if rest_interval_ms is None else {"rateLimit": rest_interval_ms}
    return {
        "enableRateLimit": True,
        "aiohttp_trust_env": not is_moved,  # HTTPS_PROXY is for the exchange, not for a server beside us
        "options": options,
        **pace,
    }


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
