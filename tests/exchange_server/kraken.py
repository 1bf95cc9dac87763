"""What Kraken says, word for word: listings, candles by request, candles by websocket (v2). Pure."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sigil_ext.paper.feed import MINUTE_MS, Row

DATA = Path(__file__).parent / "data"
ROWS = 720
BASES = {"BTC": "XBT", "DOGE": "XDG"}


def name(symbol: str) -> str:
    """Return XDG/USDT for DOGE-USDT: the name in the listings. The websocket knows DOGE/USDT only."""
    base, _, quote = symbol.partition("-")
    return f"{BASES.get(base, base)}/{quote}"


def listing(symbols: Collection[str], halted: Collection[str]) -> dict[str, Any]:
    pairs = json.loads((DATA / "kraken_AssetPairs.json").read_text())
    listed = {name(s): s for s in symbols}
    pairs["result"] = {k: v for k, v in pairs["result"].items() if v["wsname"] in listed}
    for entry in pairs["result"].values():
        if listed[entry["wsname"]] in halted:
            entry["status"] = "cancel_only"
    return pairs


def assets(symbols: Collection[str]) -> dict[str, Any]:
    names = {part for s in symbols for part in name(s).split("/")}
    asset = {"aclass": "currency", "decimals": 10, "display_decimals": 5, "status": "enabled"}
    return {"error": [], "result": {n: {**asset, "altname": n} for n in sorted(names)}}


def time(now_ms: int) -> dict[str, Any]:
    words = datetime.fromtimestamp(now_ms // 1000, UTC).strftime("%a, %d %b %y %H:%M:%S +0000")
    return {"error": [], "result": {"unixtime": now_ms // 1000, "rfc1123": words}}


def status(now_ms: int) -> dict[str, Any]:
    return {"error": [], "result": {"status": "online", "timestamp": iso(now_ms)}}


def ohlc(pair: str, candles: list[Row], now_ms: int) -> dict[str, Any]:
    return {
        "error": [],
        "result": {pair: [row(c) for c in candles], "last": (now_ms // MINUTE_MS - 1) * MINUTE_MS // 1000},
    }


def row(candle: Row) -> list[Any]:
    stamp, open_, close, high, low, volume = candle
    trades, vwap = (2, close) if volume else (0, 0.0)
    return [int(stamp) // 1000, *(repr(v) for v in (open_, high, low, close, vwap, volume)), trades]


def flat(stamp: int, close: float) -> Row:
    """Return what a request gives for a minute without a trade; the websocket says nothing of it."""
    return (float(stamp), close, close, close, close, 0.0)


def frame(kind: str, symbol: str, candles: list[Row], now_ms: int) -> dict[str, Any]:
    data = [
        {
            "symbol": symbol.replace("-", "/"), "open": r[1], "high": r[3], "low": r[4], "close": r[2], "trades": 2,
            "volume": r[5], "vwap": r[2], "interval_begin": iso(r[0]), "interval": 1, "timestamp": iso(r[0] + MINUTE_MS),
        }
        for r in candles
    ]  # fmt: skip
    return {"channel": "ohlc", "type": kind, "timestamp": iso(now_ms), "data": data}


def iso(ms: float) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
