"""Bars of one timeframe, of all symbols one after the other, and where each symbol's are. Filled by market.py."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sigil_ext.research.kernel.shapes import Bools, Floats, Ints


@dataclass(frozen=True, slots=True)
class Ranges:
    """Bars whose volume nobody asks for.

    Attributes:
        bars: (n, 6) in Jesse's column order. offsets: of each symbol's first one, and the number of all.
    """

    bars: Floats
    offsets: Ints

    def of(self, symbol: int) -> slice:
        """Return which of the bars are a symbol's."""
        return slice(self.offsets[symbol], self.offsets[symbol + 1])


@dataclass(frozen=True, slots=True)
class Bars(Ranges):
    """Bars that strategies are asked at.

    Attributes:
        asked: (n,) whether at a bar's end. first: (n,) number of a bar's first minute among its symbol's.
    """

    asked: Bools
    first: Ints


def offsets_of(counts: Iterable[int]) -> Ints:
    """Return the offsets of as many bars a symbol."""
    return np.concatenate(([0], np.cumsum(np.array(list(counts), dtype=np.int64)))).astype(np.int64)


def addresses_of(arrays: Iterable[Floats]) -> Ints:
    """Return where each array lies in memory."""
    return np.array([a.ctypes.data for a in arrays], dtype=np.int64)
