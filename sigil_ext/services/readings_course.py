"""The course of a variant's wallet: its highest, its largest fall. What is over is read once; later looks read what is new.

A month of snapshots takes a tenth of a second to go through, and every page asks for it. Start at `course`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sigil_ext.db.connection import Database
from sigil_ext.db.panel import rows

KEPT = 64


@dataclass(frozen=True, slots=True)
class Course:
    """The wallet over time, USD: the highest it was, the largest fall from a high, first and last snapshot."""

    fall_usd: float
    fall_pct: float
    peak_usd: float
    last_usd: float
    first: datetime
    last: datetime
    days: int
    last_day: date
    snapshots: int
    first_usd: float


_known: OrderedDict[str, Course] = OrderedDict()
_lock = threading.Lock()


def course(database: Database) -> Course | None:
    """Return the course of the whole record, None where there is none."""
    place = f"{database.variant} {database.address.place}"
    with _lock:
        known = _known.get(place)
    if known is not None:
        there = rows(database, "snapshot", at=known.last)
        if there and there[0] == (known.last_usd, known.last):
            return known
        if not there or there[0][0] != known.last_usd:
            known = None  # the record was written anew
    found = _read(database, known, None)
    if found is not None:
        with _lock:
            _known[place] = found
            _known.move_to_end(place)
            while len(_known) > KEPT:
                _known.popitem(last=False)
    return found


def course_of(database: Database, since: datetime | None, until: datetime | None) -> Course | None:
    """Return the course in [since, until), None where nothing was recorded then."""
    return _read(database, None, until, since)


def _read(
    database: Database, known: Course | None, until: datetime | None, since: datetime | None = None
) -> Course | None:
    if known is not None:
        since = known.last + timedelta(microseconds=1)
    (row,) = rows(
        database, "drawdown", since=since, until=until, peak=known.peak_usd if known else None,
        usd=known.fall_usd if known else None, pct=known.fall_pct if known else None,
        day=known.last_day if known else None,
    )  # fmt: skip
    usd, pct, peak, last_usd, first, last, days, last_day, count, first_usd = row
    if last is None:
        return known
    if known is not None:
        first, days, count, first_usd = known.first, known.days + days, known.snapshots + count, known.first_usd
    return Course(usd, pct or 0.0, peak, last_usd, first, last, days, last_day, count, first_usd)
