"""What the gate reads of a record, and how who asks every few seconds is spared to read it all again: `ANEW`, `REMEMBERED`.

Nothing here is older than the question. What closed is kept under a mark of all its rows, which the database reckons each
time (6 ms for 5,000 rows, against 60 to bring them here); what was observed, under the last recorded minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from sigil_ext.db import paper_periods as periods
from sigil_ext.db.connection import Database
from sigil_ext.db.paper_periods import ClosedPosition, Observed
from sigil_ext.research.comparison_figures import ComparedTrade
from sigil_ext.research.graduation import PaperRecord, weigh
from sigil_ext.rules.graduation import Evidence


@dataclass(frozen=True, slots=True)
class Closed:
    """What opened and closed within a period, how much of it on candles fetched afterwards or by a person, and how many
    that closed in it had opened before."""

    trades: tuple[ComparedTrade, ...]
    downtime: int
    by_hand: int
    opened_before: int


class Source(Protocol):
    """Where the gate reads what takes long."""

    def closed(self, database: Database, since: datetime, until: datetime) -> Closed: ...

    def observed(
        self, database: Database, session_ids: Sequence[int], since: datetime, until: datetime, soon: timedelta
    ) -> Observed: ...


class Anew:
    """Reads everything."""

    def closed(self, database: Database, since: datetime, until: datetime) -> Closed:
        return _summed(periods.closed_positions(database, since, until), since)

    def observed(
        self, database: Database, session_ids: Sequence[int], since: datetime, until: datetime, soon: timedelta
    ) -> Observed:
        return periods.observed(database, session_ids, since, until, soon)


class Remembered:
    """Reads what changed. One for a process, whatever variants it asks; safe between threads."""

    def __init__(self) -> None:
        self._closed: dict[str, tuple[str, datetime, Closed]] = {}
        self._observed: dict[str, tuple[tuple[Any, ...], Observed]] = {}
        self._weighed: dict[str, tuple[PaperRecord, Evidence]] = {}

    def closed(self, database: Database, since: datetime, until: datetime) -> Closed:
        """Return what closed, read again as soon as any of its rows came, went or was edited."""
        known = self._closed.get(_place(database))
        if known is not None and known[:2] == (periods.closed_mark(database, since, until), since):
            return known[2]
        mark, found = periods.marked_closed_positions(database, since, until)
        closed = _summed(found, since)
        self._closed[_place(database)] = (mark, since, closed)
        return closed

    def observed(
        self, database: Database, session_ids: Sequence[int], since: datetime, until: datetime, soon: timedelta
    ) -> Observed:
        """Return how the time was observed, read once a recorded minute: a month takes a fifth of a second to go through."""
        asked = (tuple(session_ids), since, until, soon)
        known = self._observed.get(_place(database))
        if known is None or known[0] != asked:
            known = self._observed[_place(database)] = (
                asked,
                periods.observed(database, session_ids, since, until, soon),
            )
        return known[1]

    def weighed(self, database: Database, record: PaperRecord) -> Evidence:
        """Return `weigh(record)`; trades that are the remembered ones are not compared one by one."""
        known = self._weighed.get(_place(database))
        if known is None or known[0] != record:
            known = self._weighed[_place(database)] = (record, weigh(record))
        return known[1]


def _place(database: Database) -> str:
    return f"{database.variant} {database.address.place}"


def _summed(found: Sequence[ClosedPosition], since: datetime) -> Closed:
    start = round(since.timestamp() * 1000)
    own = [p for p in found if p.opened_ms >= start]
    return Closed(
        tuple(
            ComparedTrade(p.symbol, p.opened_ms, p.closed_ms, p.pnl_usd, p.fees_usd, p.risk_usd, p.exit_reason) for p in own
        ),
        sum(p.downtime for p in own),
        sum(p.exit_reason in ("manual", "kill_switch") for p in own),
        len(found) - len(own),
    )  # fmt: skip


ANEW = Anew()
REMEMBERED = Remembered()
