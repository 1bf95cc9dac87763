"""When the pool is scanned and which symbols pass, for all scans of a run at once. Ranks and bans: ranking.py."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sigil_ext.research.kernel.compiling import kernel
from sigil_ext.research.kernel.measures import AGE, CANDLES, EMPTY, PRICE, QUOTE_VOLUME, TICK
from sigil_ext.research.kernel.shapes import Bools, Floats
from sigil_ext.rules.universe import Limits, first_filter


@kernel
def scan_slots(slots: NDArray[np.int32], every_ms: int, of_slot: NDArray[np.int32]) -> int:
    """Fill for each slot the number of the last scan by then and return how many scans there are.

    The pool is scanned at the first slot, and at the first one of each further span of `every_ms` since 1970.
    """
    count, next_ms = 0, 0
    for u in range(slots.shape[0]):
        now_ms = slots[u] * 60_000
        if now_ms >= next_ms:
            count += 1
            next_ms = (now_ms // every_ms + 1) * every_ms
        of_slot[u] = count - 1
    return count


@kernel
def passes(measures: NDArray[np.float64], atr_pct: Floats, limits: Limits, passed: Bools) -> None:
    """Fill which symbols pass every filter but the ban's at each scan.

    Args:
        measures: (symbols, scans, MEASURES). atr_pct: (symbols, scans). passed: (scans, symbols).
    """
    for s in range(measures.shape[0]):
        for k in range(measures.shape[1]):
            m = measures[s, k]
            number = first_filter(
                int(m[CANDLES]), m[AGE], False, m[QUOTE_VOLUME], atr_pct[s, k], m[PRICE], m[TICK], m[EMPTY], limits
            )
            passed[k, s] = number < 0
