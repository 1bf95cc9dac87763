"""The sender: waiting alerts go out, each once through each channel; what fails is tried again later.

Channels take turns, so that a slow one does not hold up the others; one that is down is asked with growing pauses and
keeps its alerts. Where nobody can know whether a message arrived (the process was killed while sending, no answer came)
it is sent again, and says so. Start at `Sender.deliver`.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sigil_ext.db.connection import Database
from sigil_ext.db.deliveries import Deliveries, Delivery
from sigil_ext.errors import DatabaseUnavailable
from sigil_ext.notify.backoff import Backoff
from sigil_ext.notify.channel import Channel, Outcome
from sigil_ext.rules.messages import MESSAGES, lasting

LATE = timedelta(minutes=5)
STRIKES = 2


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient a sender is."""

    timeout_s: float = 10.0
    """For one message."""
    backoff: Backoff = field(default_factory=Backoff)
    lease: timedelta = timedelta(seconds=60)
    """After which others may take over what a sender has claimed; longer than `timeout_s`."""
    give_up_after: timedelta = timedelta(hours=72)
    orphaned_after: timedelta = timedelta(hours=1)
    """When a delivery is given up whose channel is not configured any more."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What one pass did. `waiting`: alerts that some channel still has to get."""

    sent: int = 0
    failed: int = 0
    filtered: int = 0
    waiting: int = 0
    errors: tuple[str, ...] = ()


@dataclass(slots=True)
class _Turn:
    """How a channel does in this pass."""

    channel: Channel
    proven: bool = False
    strikes: int = 0
    slowest_s: float = 0.0


class Sender:
    """Delivers the alerts of one variant. Keep the object: it remembers what a lost database could not be told."""

    def __init__(
        self, database: Database, policy: Policy | None = None, draw: Callable[[], float] = random.random
    ) -> None:
        self.database = database
        self.policy = policy or Policy()
        self._deliveries = Deliveries(database)
        self._draw = draw
        self._unrecorded: list[tuple[Delivery, Outcome]] = []

    def deliver(self, channels: Sequence[Channel], *, budget_s: float = 30.0, now: datetime | None = None) -> Counts:
        """Send what is due and return what was done.

        Args:
            budget_s: how long this may take; what is not begun by then waits for the next call. now: None for the database's clock.
        Raises:
            DatabaseUnavailable: the database was lost. Nothing is lost with it: call again.
        """
        ends = time.monotonic() + budget_s
        unproven_s = min(self.policy.timeout_s, budget_s / 2)
        while self._unrecorded:
            self._record(*self._unrecorded[0], now)
            self._unrecorded.pop(0)
        filtered = self._deliveries.enrol({c.name: c.wants for c in channels}, now)
        sent, errors = 0, list[str]()
        turns = [_Turn(c) for c in channels if self._deliveries.channel_due(c.name, now)]
        while turns:
            for turn in list(turns):
                # Time enough for an answer as slow as this channel's have been: one that is not heard makes a repeat.
                needed_s = min(self.policy.timeout_s, max(1.0, 2 * turn.slowest_s)) if turn.slowest_s else unproven_s
                outcome = self._one(turn, ends, needed_s, now)
                if outcome is None:
                    turns.remove(turn)
                    continue
                sent += outcome.state == "sent"
                if outcome.state != "sent":
                    errors.append(f"{turn.channel.name} {outcome.error}")
                    if not turn.proven or turn.strikes >= STRIKES or outcome.state == "busy":
                        self._let_rest(turn.channel.name, outcome, now)
                        turns.remove(turn)
        waiting = self._deliveries.settle(
            [c.name for c in channels], now,
            give_up_after=self.policy.give_up_after, orphaned_after=self.policy.orphaned_after,
        )  # fmt: skip
        return Counts(sent, len(errors), filtered, waiting, tuple(dict.fromkeys(errors)))

    def _one(self, turn: _Turn, ends: float, needed_s: float, now: datetime | None) -> Outcome | None:
        """Send the channel's next alert; None when it has none or fewer than `needed_s` seconds are left."""
        if ends - time.monotonic() < needed_s:
            return None
        claimed = time.monotonic()
        delivery = self._deliveries.claim(
            turn.channel.name, claim=uuid.uuid4().hex, lease=self.policy.lease, proven=turn.proven, now=now
        )
        if delivery is None:
            return None
        if time.monotonic() - claimed > self.policy.lease.total_seconds() - self.policy.timeout_s:
            return None  # stopped in between (suspended, swapped out): it is somebody else's by now, or soon
        title, body = composed(self.database.variant, delivery)
        severity = MESSAGES[delivery.event][1] if delivery.event in MESSAGES else "info"
        began = time.monotonic()
        outcome = turn.channel.send(title, body, severity, timeout_s=max(1.0, min(self.policy.timeout_s, ends - began)))
        turn.slowest_s = max(turn.slowest_s, time.monotonic() - began)
        try:
            self._record(delivery, outcome, now, proven=turn.proven)
        except DatabaseUnavailable:
            self._unrecorded.append((delivery, outcome))
            raise
        if outcome.state == "sent":
            turn.proven, turn.strikes = True, 0
        else:
            turn.strikes += 1
            turn.proven = turn.proven or outcome.state == "refused"  # it answers; perhaps it is this message
        return outcome

    def _record(self, delivery: Delivery, outcome: Outcome, now: datetime | None, proven: bool = False) -> None:
        if outcome.state == "sent":
            self._deliveries.sent(delivery, now, news=not proven)
            return
        # When the channel is down it is the channel that rests, not the message: order is kept when it is back.
        own = outcome.state == "refused" or (proven and outcome.state != "busy")
        delay = self.policy.backoff.delay(delivery.attempts, self._draw()) if own else timedelta()
        self._deliveries.failed(delivery, now, error=outcome.error, doubtful=outcome.doubtful, delay=delay)

    def _let_rest(self, name: str, outcome: Outcome, now: datetime | None) -> None:
        def delay(failures: int) -> timedelta:
            rest = timedelta(seconds=outcome.rest_s)
            return max(rest, self.policy.backoff.delay(failures, self._draw()))

        self._deliveries.channel_failed(name, now, error=outcome.error, delay=delay)


def composed(variant: str, delivery: Delivery) -> tuple[str, str]:
    """Return title and body as they are sent: whose alert it is, its number and time, and whether it is late."""
    notes = [f"{delivery.at:%Y-%m-%d %H:%M} UTC", f"alert {delivery.alert_id}"]
    if delivery.age > LATE:
        notes.append(f"delivered {lasting(delivery.age)} late")
    if delivery.doubtful:
        notes.append("may be a repeat: an earlier attempt got no answer")
    return f"{variant}: {delivery.title}", f"{delivery.body}\n{', '.join(notes)}"
