"""Alerts waiting in the variant's database until somebody delivers them. Never sends. Start at `Outbox.put`."""

from __future__ import annotations

from datetime import datetime

from sigil_ext.db.connection import Database

EVENTS = (
    "start", "stop", "entry", "exit", "refused", "protection", "ban", "breaker", "scan_empty", "stale_symbol", "feed_lost",
    "feed_back", "database_lost", "database_back", "audit", "probe", "daily_summary", "test",
)  # fmt: skip
"""Every event that is alerted on; docs/alerts.md says what each means and what to do."""


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
        with self.database.transaction() as cur:
            cur.execute(
                "INSERT INTO alerts (at, event, reason, title, body, key) VALUES (%s, %s, %s, %s, %s, %s)"
                " ON CONFLICT (key) DO NOTHING",
                (at, event, reason, title, body, key),
            )
            return bool(cur.rowcount)
