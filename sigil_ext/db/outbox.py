"""Alerts waiting in the variant's database until somebody delivers them. Never sends. Start at `Outbox.put`.

How they are delivered is kept by deliveries.py, what is wrong at present by incidents.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sigil_ext.db.connection import Database
from sigil_ext.db.queries import load, one
from sigil_ext.rules.messages import EVENTS as EVENTS

_ALERTS = load("alerts")


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """An alert as it stands; `deliveries` has a mapping a channel: channel, state, attempts, error."""

    id: int
    at: datetime
    event: str
    reason: str | None
    title: str
    body: str
    state: str
    settled_at: datetime | None
    deliveries: Sequence[Mapping[str, Any]]


class Outbox:
    """The alerts of one variant."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def put(
        self, event: str, *, at: datetime, title: str, body: str, reason: str | None = None, key: str | None = None
    ) -> bool:
        """Store an alert for delivery, in the caller's transaction if there is one; False if `key` was alerted before.

        Args:
            at: when it happened. reason: exit or refusal reason, for filters. key: names the incident: one message each.
        """
        if event not in EVENTS:
            raise ValueError(f"unknown event '{event}'; known: {', '.join(EVENTS)}")
        values = {"at": at, "event": event, "reason": reason, "title": title, "body": body, "key": key}
        with self.database.transaction() as cur:
            cur.execute(_ALERTS["put"], values)
            return bool(cur.rowcount)

    def last_key(self, event: str, prefix: str) -> str | None:
        """Return the key of the latest alert of `event` whose key begins with `prefix`."""
        with self.database.transaction() as cur:
            cur.execute(_ALERTS["last_key"], {"event": event, "prefix": prefix})
            row = cur.fetchone()
            return None if row is None else str(row[0])

    def told_start(self, session: int) -> bool:
        """Return whether people were told that the session began or went on: it wrote alerts."""
        with self.database.transaction() as cur:
            cur.execute(_ALERTS["told_start"], {"session": session})
            return bool(one(cur)[0])

    def list(self, *, limit: int = 50, waiting: bool = False) -> list[StoredAlert]:
        """Return the latest alerts, newest first; `waiting`: only those that some channel still has to get."""
        with self.database.transaction() as cur:
            cur.execute(_ALERTS["list"], {"limit": limit, "waiting": waiting})
            return [StoredAlert(*row) for row in cur.fetchall()]
