"""Recorded minutes read back: of each candle six floats, its symbol's place in the pool where its time would be.

`journal.py` writes them. What is damaged is named, never guessed at. Start at `RecordedMinutes`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigil_ext.errors import DamagedRecord
from sigil_ext.instants import clock

CANDLE_BYTES = 6 * 8


class RecordedMinutes:
    """The minutes of one session, whose pool has so many symbols."""

    def __init__(self, variant: str, session: int, symbols: int) -> None:
        self.variant, self.session, self.symbols = variant, session, symbols
        self._places = frozenset(map(float, range(symbols)))

    def unpack(self, open_ms: int, packed: Any) -> NDArray[np.float64]:
        """Return the candles of a minute, shape (n, 6), the symbol's place first.

        Raises:
            DamagedRecord: the minute is cut off, or a place is none of the pool.
        """
        self.demand_whole(open_ms, packed)
        candles = np.frombuffer(bytes(packed), dtype=np.float64).reshape(-1, 6)
        # A set: a panel unpacks ten thousands of minutes for one page, and numpy takes five times as long over so few.
        if not self._places.issuperset(candles[:, 0].tolist()):
            raise self._damaged(open_ms, f"names a symbol that is none of its {self.symbols}")
        return candles

    def demand_whole(self, open_ms: int, packed: Any) -> None:
        """Raise DamagedRecord where a minute is cut off within a candle."""
        if len(packed) % CANDLE_BYTES:
            raise self._damaged(open_ms, f"is cut off: {len(packed)} bytes, where a candle has {CANDLE_BYTES}")

    def _damaged(self, open_ms: int, what: str) -> DamagedRecord:
        return DamagedRecord(
            f"variant '{self.variant}', session {self.session}: its recorded minute {clock(open_ms)} UTC {what}; restore "
            "a backup (docs/operating.md), or begin a new session with --restart, where positions are open with --fresh"
        )
