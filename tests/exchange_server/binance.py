"""What Binance spot says, word for word: listings, candles by request, candles by websocket. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from sigil_ext.paper.feed import MINUTE_MS, Row

DATA = Path(__file__).parent / "data"


def name(symbol: str) -> str:
    return symbol.replace("-", "")


def listing(symbols: Collection[str], halted: Collection[str]) -> dict[str, Any]:
    info = json.loads((DATA / "binance_exchangeInfo.json").read_text())
    listed = {name(s): s for s in symbols}
    recorded = {s["symbol"]: s for s in info["symbols"]}
    # A symbol that was not recorded looks like one that was, but for its names.
    info["symbols"] = [recorded.get(n) or _renamed(recorded["KNCUSDT"], listed[n]) for n in sorted(listed)]
    for entry in info["symbols"]:
        if listed[entry["symbol"]] in halted:
            entry["status"] = "BREAK"
    return info


def _renamed(entry: dict[str, Any], symbol: str) -> dict[str, Any]:
    base, quote = symbol.split("-")
    return {**entry, "symbol": base + quote, "baseAsset": base, "quoteAsset": quote}


def row(candle: Row) -> list[Any]:
    stamp, open_, close, high, low, volume = candle
    texts = [text(v) for v in (open_, high, low, close, volume)]
    return [int(stamp), *texts, int(stamp) + MINUTE_MS - 1, "1.0", 2, "0.5", "0.5", "0"]


def frame(symbol: str, candle: Row, now_ms: int, *, is_final: bool) -> dict[str, Any]:
    stamp, open_, close, high, low, volume = candle
    kline = {
        "t": int(stamp), "T": int(stamp) + MINUTE_MS - 1, "s": name(symbol), "i": "1m", "f": 1, "L": 2,
        "o": text(open_), "c": text(close), "h": text(high), "l": text(low), "v": text(volume), "n": 2,
        "x": is_final, "q": "1.0", "V": "0.5", "Q": "0.5", "B": "0",
    }  # fmt: skip
    return {"e": "kline", "E": now_ms, "s": name(symbol), "k": kline}


def text(value: float) -> str:
    return repr(value)  # the shortest text that reads back as the same number
