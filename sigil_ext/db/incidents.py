"""What is wrong at present: alerted on once when it begins and once when it is over, however many processes see it.

Start at `Incidents.open`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sigil_ext.db.connection import Database
from sigil_ext.db.outbox import Outbox
from sigil_ext.db.queries import load

_ALERTS = load("alerts")


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that is wrong."""

    key: str
    opened_at: datetime
    last_seen_at: datetime
    detail: str


class Incidents:
    """The open incidents of one variant. Each method is part of the caller's transaction if there is one."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def open(self, key: str, *, detail: str, event: str, title: str, body: str, now: datetime | None = None) -> bool:
        """Note that `key` is wrong (at `now`, default the database's clock); alert and return True if that is new."""
        with self.database.transaction() as cur:
            cur.execute(_ALERTS["incident_open"], {"key": key, "detail": detail, "now": now})
            opened_at, new = cur.fetchone()  # type: ignore[misc]
            if new:
                at = now or opened_at
                Outbox(self.database).put(event, at=at, title=title, body=body, key=f"{key} {opened_at.isoformat()}")
            return bool(new)

    def resolve(self, key: str, *, event: str, title: str, body: str, now: datetime | None = None) -> Incident | None:
        """Note that `key` is well again; alert and return what it was, None if nothing was wrong (and nothing is said)."""
        with self.database.transaction() as cur:
            cur.execute(_ALERTS["incident_close"], {"key": key, "now": now})
            row = cur.fetchone()
            if row is None:
                return None
            found = Incident(*row)
            closed_at = now or found.last_seen_at
            name = f"{key} {found.opened_at.isoformat()} over"
            Outbox(self.database).put(event, at=closed_at, title=title, body=body, key=name)
            return found

    def all(self) -> list[Incident]:
        """Return what is wrong now, longest first."""
        with self.database.transaction() as cur:
            cur.execute(_ALERTS["incidents"])
            return [Incident(*row) for row in cur.fetchall()]
