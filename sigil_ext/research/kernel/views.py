"""The arrays of a WORLD by name: what lies at its addresses, seen as an array without a count of references.

Compiled code counts a reference whenever it hands an array on, which with several threads on one market is most of its
time. Whoever makes a WORLD keeps its arrays alive for as long as it is used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic

from sigil_ext.research.kernel.compiling import inlined
from sigil_ext.research.kernel.shapes import ACCOUNT, CELL, PATH, POSITION, REFUSALS, STANDING, Row


@intrinsic  # type: ignore[untyped-decorator]
def _pointer(typing_context: Any, address: Any) -> Any:
    """Return an address as a pointer to nothing in particular."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), build


@inlined
def minutes_of(w: Row, symbol: int) -> Any:
    """Return a symbol's candles in Jesse's column order."""
    address = carray(_pointer(w.minutes), w.symbols, np.int64)[symbol]
    return carray(_pointer(address), (carray(_pointer(w.counts), w.symbols, np.int64)[symbol], 6), np.float64)


@inlined
def dips_of(w: Row, symbol: int) -> Any:
    """Return the lowest prices of a symbol's candles that a stop can meet."""
    address = carray(_pointer(w.dips), w.symbols, np.int64)[symbol]
    return carray(_pointer(address), carray(_pointer(w.counts), w.symbols, np.int64)[symbol], np.float64)


@inlined
def account_of(w: Row) -> Row:
    """Return the account of the cell that is run."""
    return carray(_pointer(w.accounts), 1, ACCOUNT)[0]


@inlined
def cell_of(w: Row) -> Row:
    """Return the settings of the cell that is run."""
    return carray(_pointer(w.cells), w.cell_count, CELL)[w.now]


@inlined
def bars(w: Row) -> Any:
    """Return bars of all symbols in Jesse's column order."""
    return carray(_pointer(w.bars), (w.bar_count, 6), np.float64)


@inlined
def asked(w: Row) -> Any:
    """Return whether the strategy is asked at a bar's end."""
    return carray(_pointer(w.asked), w.bar_count, np.bool_)


@inlined
def first(w: Row) -> Any:
    """Return the number of a bar's first minute among its symbol's."""
    return carray(_pointer(w.first), w.bar_count, np.int64)


@inlined
def last_bars(w: Row) -> Any:
    """Return the number of a symbol's last bar."""
    return carray(_pointer(w.last_bars), w.symbols, np.int64)


@inlined
def slots(w: Row) -> Any:
    """Return the minutes at which some strategy is asked."""
    return carray(_pointer(w.slots), w.slot_count, np.int32)


@inlined
def next_days(w: Row) -> Any:
    """Return the first slot of a slot's next day."""
    return carray(_pointer(w.next_days), w.slot_count, np.int32)


@inlined
def closes(w: Row) -> Any:
    """Return the last closes by each slot."""
    return carray(_pointer(w.closes), (w.slot_count, w.symbols), np.float64)


@inlined
def scan_minutes(w: Row) -> Any:
    """Return when the scans were."""
    return carray(_pointer(w.scan_minutes), w.scan_count, np.int32)


@inlined
def scan_of(w: Row) -> Any:
    """Return the last scan by each slot."""
    return carray(_pointer(w.scan_of), w.slot_count, np.int32)


@inlined
def passed(w: Row) -> Any:
    """Return who passes a scan's filters."""
    return carray(_pointer(w.passed), (w.scan_count, w.symbols), np.bool_)


@inlined
def accepted(w: Row) -> Any:
    """Return who is ranked in while nothing is banned."""
    return carray(_pointer(w.accepted), (w.scan_count, w.symbols), np.bool_)


@inlined
def order(w: Row) -> Any:
    """Return who passed, sorted by each figure."""
    return carray(_pointer(w.order), (w.scan_count, 3, w.most_passed), np.int16)


@inlined
def opens(w: Row) -> Any:
    """Return whether a figure in that order is another than the one before."""
    return carray(_pointer(w.opens), (w.scan_count, 3, w.most_passed), np.bool_)


@inlined
def signal_slots(w: Row) -> Any:
    """Return the slots of the signals."""
    return carray(_pointer(w.signal_slots), w.signal_count, np.int32)


@inlined
def signal_symbols(w: Row) -> Any:
    """Return the symbols of the signals."""
    return carray(_pointer(w.signal_symbols), w.signal_count, np.int16)


@inlined
def signal_bars(w: Row) -> Any:
    """Return the bars at whose end they fire."""
    return carray(_pointer(w.signal_bars), w.signal_count, np.int64)


@inlined
def signal_gaps(w: Row) -> Any:
    """Return the longest gaps before them in minutes."""
    return carray(_pointer(w.signal_gaps), w.signal_count, np.float64)


@inlined
def signal_atrs(w: Row) -> Any:
    """Return the ATRs then."""
    return carray(_pointer(w.signal_atrs), w.signal_count, np.float64)


@inlined
def path_numbers(w: Row) -> Any:
    """Return the path that begins at a signal, 0 where it is not known."""
    return carray(_pointer(w.path_numbers), w.signal_count, np.int32)


@inlined
def paths(w: Row) -> Any:
    """Return the paths that are known."""
    return carray(_pointer(w.paths), w.signal_count + 1, PATH)


@inlined
def bans(w: Row) -> Any:
    """Return the lengths of bans in microseconds."""
    return carray(_pointer(w.bans), w.ban_count, np.int64)


@inlined
def positions(w: Row) -> Any:
    """Return its positions by place."""
    return carray(_pointer(w.positions), w.place_count, POSITION)


@inlined
def standings(w: Row) -> Any:
    """Return what is known of each symbol in it."""
    return carray(_pointer(w.standings), w.symbols, STANDING)


@inlined
def places(w: Row) -> Any:
    """Return its open places in the order of entries, then the free ones."""
    return carray(_pointer(w.places), w.place_count, np.int64)


@inlined
def kept(w: Row) -> Any:
    """Return who passed the last scan unbanned, where that is the cell's own."""
    return carray(_pointer(w.kept), w.symbols, np.bool_)


@inlined
def scores(w: Row) -> Any:
    """Return their scores."""
    return carray(_pointer(w.scores), w.symbols, np.float64)


@inlined
def shares(w: Row) -> Any:
    """Return room to count in."""
    return carray(_pointer(w.shares), w.symbols, np.float64)


@inlined
def refused(w: Row) -> Any:
    """Return signals of each cell by why they were refused."""
    return carray(_pointer(w.refused), (w.cell_count, REFUSALS), np.int64)


@inlined
def taken(w: Row) -> Any:
    """Return signals that were entered."""
    return carray(_pointer(w.taken), w.signal_count, np.int64)
