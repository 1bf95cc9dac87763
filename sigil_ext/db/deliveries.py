"""Which channel has got which alert: claimed by one sender at a time, recorded, tried again later. Never sends.

A claim is a lease. A sender that dies leaves it to run out; whoever takes it over knows that the message may have arrived
(`doubtful`). `now` is None for the database's clock. Start at `Deliveries.claim`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sigil_ext.db.connection import Database
from sigil_ext.db.queries import load

_ALERTS = load("alerts")
Wants = Callable[[str, str | None], bool]


@dataclass(frozen=True, slots=True)
class Delivery:
    """An alert that one sender has claimed for one channel; `age` is how long ago it was written."""

    alert_id: int
    channel: str
    at: datetime
    event: str
    title: str
    body: str
    attempts: int
    doubtful: bool
    claim: str
    age: timedelta


class Deliveries:
    """The deliveries of one variant's alerts. Every method is one short transaction."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def enrol(self, channels: dict[str, Wants], now: datetime | None) -> int:
        """Give every waiting alert a delivery for each channel; return how many a filter held back.

        With no channel at all there is nobody to tell: the alerts are settled as filtered, so that they do not all come
        at once when a channel is configured a month later.
        """
        with self.database.transaction() as cur:
            if not channels:
                cur.execute(_ALERTS["settle_without_channel"], {"now": now})
                return int(cur.rowcount)
            cur.execute(_ALERTS["without_delivery"], {"channels": list(channels)})
            found = [
                (number, channel, "waiting" if channels[channel](event, reason) else "filtered")
                for number, event, reason, channel in cur.fetchall()
            ]
            if found:
                alerts, names, states = (list(column) for column in zip(*found, strict=True))
                cur.execute(_ALERTS["enrol"], {"alerts": alerts, "channels": names, "states": states, "now": now})
            return sum(state == "filtered" for _, _, state in found)

    def channel_due(self, channel: str, now: datetime | None) -> bool:
        """Return whether the channel may be tried: it works, or has rested long enough since it failed."""
        return bool(self._one("channel_due", channel=channel, now=now)[0])

    def claim(
        self, channel: str, *, claim: str, lease: timedelta, proven: bool, now: datetime | None
    ) -> Delivery | None:
        """Return the next delivery of the channel, claimed, or None. No two senders get the same one.

        Args:
            proven: the channel has just worked: strictly the oldest first. Otherwise what failed often stands back.
        """
        values = {"channel": channel, "claim": claim, "lease": lease, "proven": proven, "now": now}
        with self.database.transaction() as cur:
            cur.execute(_ALERTS["claim"], values)
            row = cur.fetchone()
        return Delivery(*row) if row else None

    def sent(self, delivery: Delivery, now: datetime | None, *, news: bool = True) -> None:
        """Record that the channel took it; `news`: also that the channel works."""
        with self.database.transaction() as cur:
            cur.execute(_ALERTS["sent"], self._of(delivery, now))
            if news:
                cur.execute(_ALERTS["channel_worked"], {"channel": delivery.channel, "now": now})

    def failed(self, delivery: Delivery, now: datetime | None, *, error: str, doubtful: bool, delay: timedelta) -> None:
        """Record that it failed and may be tried again after `delay`; `doubtful`: it may have arrived all the same."""
        with self.database.transaction() as cur:
            values = {**self._of(delivery, now), "error": error, "doubtful": doubtful, "delay": delay}
            cur.execute(_ALERTS["failed"], values)

    def channel_failed(
        self, channel: str, now: datetime | None, *, error: str, delay: Callable[[int], timedelta]
    ) -> None:
        """Let the channel rest for `delay(failures in a row)`."""
        with self.database.transaction() as cur:
            cur.execute(_ALERTS["channel_failed"], {"channel": channel, "now": now, "error": error})
            failures = int(cur.fetchone()[0])  # type: ignore[index]
            cur.execute(_ALERTS["channel_rests"], {"channel": channel, "now": now, "delay": delay(failures)})

    def settle(
        self, channels: Collection[str], now: datetime | None, *, give_up_after: timedelta, orphaned_after: timedelta
    ) -> int:
        """Give up what is too old, settle alerts that no channel waits for any more; return how many still wait.

        Args:
            orphaned_after: age at which a delivery for a channel that is not among `channels` is given up.
        """
        values = {"channels": list(channels), "now": now, "after": give_up_after, "orphaned_after": orphaned_after}
        with self.database.transaction() as cur:
            cur.execute(_ALERTS["give_up"], values)
            cur.execute(_ALERTS["settle"], {"now": now})
            cur.execute(_ALERTS["count_waiting"])
            return int(cur.fetchone()[0])  # type: ignore[index]

    def _of(self, delivery: Delivery, now: datetime | None) -> dict[str, Any]:
        return {"alert": delivery.alert_id, "channel": delivery.channel, "claim": delivery.claim, "now": now}

    def _one(self, query: str, **values: Any) -> tuple[Any, ...]:
        with self.database.transaction() as cur:
            cur.execute(_ALERTS[query], values)
            row: tuple[Any, ...] = cur.fetchone()  # type: ignore[assignment]
            return row
