"""Which symbols each scan accepts while nothing is banned, and what a cell with bans needs to know it of its own scans.

`rules.universe.weighted_ranks` ranks each scan once for all cells. Bans: scan.py. Start at `accept_all`.
"""

from __future__ import annotations

import math

import numpy as np

from sigil_ext.research.kernel.compiling import kernel
from sigil_ext.research.kernel.shapes import Floats, Ints, Scans
from sigil_ext.rules.universe import weighted_ranks


@kernel
def accept_all(scans: Scans) -> None:
    """Fill what each scan accepts while nothing is banned."""
    passing = np.empty(scans.passed.shape[1], np.int64)
    for scan in range(scans.passed.shape[0]):
        count = passing_in(scans, scan, passing)
        if count <= scans.size:
            scans.accepted[scan] = scans.passed[scan]
            continue
        known = known_of(scans, scan, passing[:count])
        scores = weighted_ranks(known[0], known[1], known[2], scans.weights)
        for i in range(count):
            ahead = 0
            for j in range(count):
                if scores[j] > scores[i] or (scores[j] == scores[i] and j < i):
                    ahead += 1
            scans.accepted[scan, passing[i]] = ahead < scans.size


@kernel
def passing_in(scans: Scans, scan: int, passing: Ints) -> int:
    """Fill the symbols that passed the filters of a scan, by name; return how many there are."""
    count = 0
    for s in range(scans.passed.shape[1]):
        if scans.passed[scan, s]:
            passing[count] = s
            count += 1
    return count


@kernel
def known_of(scans: Scans, scan: int, symbols: Ints) -> Floats:
    """Return ATR, volume and change of `symbols` at a scan, a row each."""
    known = np.empty((3, symbols.shape[0]))
    for i in range(symbols.shape[0]):
        known[0, i] = scans.atr_pct[scan, symbols[i]]
        known[1, i] = scans.volume[scan, symbols[i]]
        known[2, i] = scans.change[scan, symbols[i]]
    return known


def sort_all(scans: Scans) -> Scans:
    """Return the scans with the symbols that passed sorted by each figure, which is needed where some may be banned."""
    count = int(scans.passed.sum(axis=1).max(initial=0))
    if count <= scans.size:  # then no scan ever leaves out any that passed
        return scans
    shape = (len(scans.minutes), 3, count)
    sorted_scans = scans._replace(order=np.zeros(shape, np.int16), opens=np.zeros(shape, np.bool_))
    fill_order(sorted_scans)
    return sorted_scans


@kernel
def fill_order(scans: Scans) -> None:
    """Fill `order` and `opens`."""
    passing = np.empty(scans.passed.shape[1], np.int64)
    for scan in range(scans.passed.shape[0]):
        count = passing_in(scans, scan, passing)
        known = known_of(scans, scan, passing[:count])
        for part in range(3):
            for i in range(count):
                if math.isnan(known[part, i]):
                    known[part, i] = -math.inf
            places = np.argsort(known[part])
            for i in range(count):
                scans.order[scan, part, i] = passing[places[i]]
                scans.opens[scan, part, i] = i == 0 or known[part, places[i]] != known[part, places[i - 1]]
