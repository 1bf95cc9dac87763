"""The local exchange speaks as the real ones did: its words against answers recorded from them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.exchange_server import binance, kraken

RECORDED = json.loads((binance.DATA / "recorded.json").read_text())
CANDLE = (1_762_820_160_000.0, 0.208, 0.2081, 0.2082, 0.2079, 624.6)
NOW = 1_762_820_224_000


def shape(value: Any) -> Any:
    """Return the types of a value, key by key, place by place."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value)


@pytest.mark.parametrize(
    ("said", "recorded"),
    [
        (binance.row(CANDLE), RECORDED["binance_klines"][0]),
        (binance.frame("SLF-USDT", CANDLE, NOW, is_final=False), RECORDED["binance_kline_frame"]),
        (kraken.row(CANDLE), RECORDED["kraken_ohlc"]["result"]["XBTUSDT"][-1]),
        (kraken.row(kraken.flat(1_762_820_160_000, 0.2081)), RECORDED["kraken_ohlc"]["result"]["XBTUSDT"][0]),
        (kraken.time(NOW), RECORDED["kraken_time"]),
        (kraken.status(NOW), RECORDED["kraken_status"]),
    ],
)
def test_an_answer_has_the_shape_of_the_recorded_one(said, recorded):
    assert shape(said) == shape(recorded)


def test_kraken_gave_empty_candles_for_minutes_without_a_trade():
    rows = RECORDED["kraken_ohlc"]["result"]["XBTUSDT"]
    flat = [row for row in rows if row[7] == 0]
    assert flat, "the habit that `fills_flat` imitates"
    assert all(row[1] == row[2] == row[3] == row[4] and float(row[6]) == 0 for row in flat)
