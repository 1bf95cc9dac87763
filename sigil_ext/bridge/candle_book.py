"""What Jesse sees of the market: the candles of each minute, and the larger bars that they close, in its own store.

As Jesse's timestamp replay has it, with the mends of `replay.py`: a bar is closed by the candle of its last minute, or, where
that minute has none, by the symbol's next candle; then it is stored before anybody looks. Start at `CandleBook.show`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MINUTE_MS = 60_000
PIPED_ROWS = 4 * 1440  # minutes that a strategy's pipeline of candles can look back

Row = Sequence[float]


class Pair(NamedTuple):
    """A symbol that is followed, in the order in which Jesse goes through them: by its key."""

    key: str
    exchange: str
    symbol: str
    minutes: str
    """Where Jesse's store has its 1m candles."""


def pair_of(exchange: str, symbol: str) -> Pair:
    """Return the pair of a symbol (TST-USDT) at an exchange."""
    return Pair(f"{exchange}-{symbol}", exchange, symbol, f"{exchange}-{symbol}-1m")


class CandleBook:
    """Writes candles and bars into Jesse's store, and remembers what it needs for the next minute."""

    def __init__(self, store: Any, candle_service: Any, timeframes: Sequence[tuple[str, int]]) -> None:
        """Args: store, candle_service: Jesse's. timeframes: name and length in ms of the larger bars."""
        self._store, self._service, self._timeframes = store, candle_service, timeframes
        self.pipelines: Mapping[str, Any] = {}
        self._last_ms: dict[str, int] = {}  # open time of each symbol's last candle that was shown
        self._piped: dict[str, tuple[NDArray[np.float64], int]] = {}  # what pipelines look at, and how many rows of it

    def closing(self, end_ms: int) -> list[tuple[str, int]]:
        """Return name and length of the larger bars that a candle closes whose minute ends at `end_ms`."""
        return [(name, length) for name, length in self._timeframes if end_ms % length == 0]

    def show(
        self, pairs: Sequence[Pair], open_ms: int, candles: Mapping[str, Row]
    ) -> list[tuple[Pair, Row, float | None]]:
        """Let Jesse see a minute's candles; return each, as a pipeline may have changed it, and the close before it."""
        shown: list[tuple[Pair, Row, float | None]] = []
        last_ms, pipelines, storage = self._last_ms, self.pipelines, self._store.candles.storage
        before_ms = open_ms - MINUTE_MS
        for pair in pairs:
            symbol, row = pair.symbol, candles[pair.symbol]
            if last_ms.get(symbol, before_ms) != before_ms:
                self._store_ended_bars(pair, last_ms[symbol], open_ms)
            last_ms[symbol] = open_ms
            if (pipeline := pipelines[pair.key]) is not None:
                row = self._piped_row(pair, pipeline, row)
            rows = storage[pair.minutes]
            array, index = rows.snapshot()
            rows.append(row)
            shown.append((pair, row, array.item(index, 2) if index >= 0 else None))
        return shown

    def store_bar(self, pair: Pair, timeframe: str, begin: int, length: int) -> None:
        """Build the bar that began at `begin` (ms), `length` ms long, from what was seen of its minutes, and store it."""
        array, index = self._store.candles.storage[pair.minutes].snapshot()
        recent = array[max(0, index + 1 - length // MINUTE_MS) : index + 1]
        first, last = np.searchsorted(recent[:, 0], (begin, begin + length))
        bar = self._service.generate_candle_from_one_minutes(timeframe, recent[first:last], accept_forming_candles=True)
        bar[0] = begin
        self._service.add_candle(
            bar, pair.exchange, pair.symbol, timeframe, with_execution=False, with_generation=False
        )

    def trim(self, minutes: int, bars: int) -> None:
        """Forget candles beyond the last `minutes` and, of larger timeframes, beyond the last `bars`.

        Done when twice as many have gathered. To be called every hour of the market's.
        """
        for key, rows in self._store.candles.storage.items():
            kept = minutes if key.endswith("-1m") else bars
            if len(rows) >= 2 * kept:
                array, index = rows.snapshot()
                fresh = np.zeros((2 * kept + 60, array.shape[1]))
                fresh[:kept] = array[index + 1 - kept : index + 1]
                rows.array, rows.index = fresh, kept - 1

    def give_up_reserve(self) -> None:
        """Give up what Jesse's candle arrays hold in reserve, so that a checkpoint holds candles and no zeros."""
        for rows in self._store.candles.storage.values():
            array, index = rows.snapshot()
            rows.array = array[: index + 2].copy()

    def own_state(self) -> tuple[Any, ...]:
        """Return what it remembers besides what is in Jesse's store."""
        return self.pipelines, self._last_ms, self._piped

    def take_state(self, state: tuple[Any, ...]) -> None:
        """Remember what `own_state` of another one gave."""
        self.pipelines, self._last_ms, self._piped = state

    def _store_ended_bars(self, pair: Pair, last_ms: int, open_ms: int) -> None:
        """Store the bars that ended in minutes without a candle."""
        for timeframe, length in self._timeframes:
            begin = last_ms - last_ms % length
            if open_ms >= begin + length > last_ms + MINUTE_MS:
                self.store_bar(pair, timeframe, begin, length)

    def _piped_row(self, pair: Pair, pipeline: Any, row: Row) -> Row:
        """Return the candle as the strategy's pipeline wants it."""
        rows, count = self._piped.get(pair.key) or (np.zeros((PIPED_ROWS, 6)), 0)
        if count == PIPED_ROWS:
            count = PIPED_ROWS // 4
            rows = np.concatenate([rows[-count:], np.zeros((PIPED_ROWS - count, 6))])
        rows[count] = row
        rows[count] = changed = pipeline.get_candles(rows[count : count + pipeline._batch_size], count, -1)
        self._piped[pair.key] = rows, count + 1
        return tuple(changed.tolist())
