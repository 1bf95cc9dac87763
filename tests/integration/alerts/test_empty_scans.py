"""Scans that leave no symbol: told at the first one and when there are symbols again, by whoever leads the session then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sigil_ext.db.minute_store import Operation
from sigil_ext.db.outbox import Outbox
from sigil_ext.paper.alerts import EmptyScans
from sigil_ext.rules.types import UniverseRow, UniverseScan

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def scan(hour: int, *accepted: bool) -> list[Operation]:
    """The operations of a minute in which a pool was scanned, `accepted` or not symbol by symbol."""
    rows = tuple(UniverseRow(f"S{n}-USDT", yes, "accepted" if yes else "too_young") for n, yes in enumerate(accepted))
    return [Operation("save_scan", (UniverseScan(NOON + timedelta(hours=hour), rows),))]


def told(database, scans: list[list[Operation]], session: int = 3, *, stopped_after_each: bool = False) -> list[str]:
    """Return what people have been told after these scans; a session that was stopped goes on from its outbox."""
    outbox, watch = Outbox(database), EmptyScans()
    for operations in scans:
        if stopped_after_each:
            watch = EmptyScans()
            watch.recall(outbox, session)
        for alert in watch.alerts(operations, session):
            title, body = alert.message
            outbox.put(alert.event, at=alert.at, title=title, body=body, key=alert.key)
    return [f"{row.at:%H} {row.title}" for row in reversed(outbox.list())]


SCANS = [
    scan(0, True),
    scan(1, False, False),
    scan(2, False),
    scan(3),
    scan(4, True, False),
    scan(5, True),
    scan(6, False),
]
TOLD = [
    "13 the scan left no symbol to enter",
    "16 the scan has symbols to enter again",
    "18 the scan left no symbol to enter",
]


def test_it_is_told_when_it_begins_and_when_it_is_over(database):
    assert told(database, SCANS) == TOLD
    assert (
        Outbox(database).list()[1].body
        == "2026-01-05 16:00 UTC, 1 of 2 symbols in the pool; none since 2026-01-05 13:00 UTC"
    )


def test_a_session_that_is_stopped_between_scans_tells_the_same(database):
    assert told(database, SCANS, stopped_after_each=True) == TOLD


def test_another_session_begins_anew(database):
    assert told(database, SCANS[1:2], session=3) == TOLD[:1]
    assert told(database, SCANS[1:2], session=31) == TOLD[:1] * 2
    assert told(database, SCANS[4:5], session=3, stopped_after_each=True) == [*TOLD[:1] * 2, TOLD[1]]
