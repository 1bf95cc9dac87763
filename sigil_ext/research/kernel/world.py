"""`world_of`: the arrays that one thread works with, as the record of addresses that compiled code is given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigil_ext.research.kernel.shapes import ACCOUNT, PATH, POSITION, STANDING, WORLD, Ints, Rows, Scans, Signals, Tape

Arrays = dict[str, NDArray[Any]]


def world_of(
    tape: Tape, scans: Scans, signals: Signals, cells: Rows, bans: Ints, refused: Ints, places: int
) -> tuple[Rows, Arrays]:
    """Return the one row of WORLD and the arrays whose addresses it holds; they must outlive it.

    Args:
        cells: rows of CELL. bans: microseconds by number of violation. refused: (cells, reasons). places: positions at most.
    """
    symbols, fired = len(tape.last_bar), len(signals.slot)
    arrays: Arrays = {
        "bars": tape.bars, "asked": tape.asked, "first": tape.first, "last_bars": tape.last_bar, "minutes": tape.minutes,
        "counts": tape.counts, "dips": tape.dips, "slots": tape.slots, "next_days": tape.next_day, "closes": tape.closes,
        "scan_minutes": scans.minutes, "scan_of": scans.of_slot, "passed": scans.passed, "accepted": scans.accepted,
        "order": scans.order, "opens": scans.opens, "signal_slots": signals.slot, "signal_symbols": signals.symbol,
        "signal_bars": signals.bar, "signal_gaps": signals.gap, "signal_atrs": signals.atr,
        "path_numbers": np.zeros(fired, np.int32), "paths": np.empty(fired + 1, PATH), "cells": cells, "bans": bans,
        "accounts": np.zeros(1, ACCOUNT), "positions": np.zeros(places, POSITION),
        "standings": np.zeros(symbols, STANDING), "places": np.empty(places, np.int64),
        "kept": np.zeros(symbols, np.bool_), "scores": np.empty(symbols), "shares": np.empty(symbols),
        "refused": refused, "taken": np.empty(fired, np.int64),
    }  # fmt: skip
    world = np.zeros(1, WORLD)
    for name, array in arrays.items():
        assert array.flags.c_contiguous, name
        world[name] = array.ctypes.data
    for name, value in {
        "symbols": symbols, "bar_count": len(tape.bars), "slot_count": len(tape.slots), "scan_count": len(scans.minutes),
        "signal_count": fired, "place_count": places, "cell_count": len(cells), "ban_count": len(bans),
        "most_passed": scans.order.shape[2], "length": tape.length, "end": tape.end, "one_clock": tape.one_clock,
        "universe_size": scans.size, "weights": scans.weights,
    }.items():  # fmt: skip
        world[name] = value
    return world, arrays
