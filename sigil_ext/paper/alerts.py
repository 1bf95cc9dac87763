"""What a processed minute has to tell people: alerts, made from the operations that the minute wrote. Never sends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sigil_ext.bridge.paper_host import Ended
from sigil_ext.db.minute_store import Operation
from sigil_ext.db.outbox import Outbox
from sigil_ext.db.strategy_store import Opened
from sigil_ext.paper.feed import FeedEvent
from sigil_ext.rules import messages
from sigil_ext.rules.messages import Message
from sigil_ext.rules.types import Entry, Protection, UniverseScan

_OVER = " over"


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as the outbox takes it."""

    event: str
    at: datetime
    message: Message
    reason: str | None = None
    key: str | None = None


def alerts_of(
    operations: Sequence[Operation], ended: Sequence[Ended], at: datetime, *, downtime: bool, session: int
) -> Iterator[Alert]:
    """Yield the alerts of one minute that ended at `at`. Keys name the thing itself, so writing them again sends nothing."""
    for op in operations:
        match op.kind:
            case "enter":
                yield Alert("entry", at, _entry(op.args[0], downtime), key=f"entry:{session}:{op.number}")
            case "opened":
                # It has no number before the minute is written, and nobody enters one symbol twice at one instant.
                key = f"entry:{session}:{op.args[0].symbol}:{op.args[0].at.isoformat()}"
                yield Alert("entry", at, _opening(op.args[0], downtime), key=key)
            case "trip":
                yield Alert("breaker", at, messages.breaker(reason=op.args[2], by=op.args[1]), op.args[2])
    for position, trade in ended:
        opened = datetime.fromtimestamp(trade.opened_at_ms / 1000, UTC)
        message = messages.exit_(
            symbol=trade.symbol, reason=trade.exit_reason, entry_price=trade.entry_price, price=trade.exit_price,
            pnl_usd=trade.pnl_usd, r=trade.pnl_usd / trade.risk_usd if trade.risk_usd else None, held=at - opened,
            downtime=downtime,
        )  # fmt: skip
        name = str(position) if position > 0 else f"{trade.symbol}:{opened.isoformat()}"
        yield Alert("exit", at, message, trade.exit_reason, f"exit:{session}:{name}")


class EmptyScans:
    """Whether people know that scans leave no symbol to enter: they are told when it begins, and when it is over.

    What a session told stands in the keys of its alerts, so that one that goes on after a stop does not tell it again.
    """

    def __init__(self) -> None:
        self._since: datetime | None = None

    def recall(self, outbox: Outbox, session: int) -> None:
        """Take up what the session told before."""
        last = outbox.last_key("scan_empty", _scan_key(session, ""))
        begun = last is not None and not last.endswith(_OVER)
        self._since = datetime.fromisoformat(str(last).removeprefix(_scan_key(session, ""))) if begun else None

    def alerts(self, operations: Sequence[Operation], session: int) -> Iterator[Alert]:
        """Yield what a minute with these operations changes."""
        for op in operations:
            if op.kind != "save_scan":
                continue
            scan: UniverseScan = op.args[0]
            pool, left = len(scan.rows), len(scan.accepted)
            if self._since is None and pool and not left:
                reasons = Counter(row.reason for row in scan.rows)
                message = messages.scan_empty(at=scan.at, pool=pool, reasons=reasons)
                yield Alert("scan_empty", scan.at, message, key=_scan_key(session, scan.at.isoformat()))
                self._since = scan.at
            elif self._since is not None and left:
                message = messages.scan_filled(at=scan.at, pool=pool, accepted=left, since=self._since)
                key = _scan_key(session, self._since.isoformat()) + _OVER
                yield Alert("scan_empty", scan.at, message, key=key)
                self._since = None


def protection_alerts(
    ended: Sequence[Ended], before: dict[str, Protection | None], after: dict[str, Protection | None], at: datetime
) -> Iterator[Alert]:
    """Yield an alert for every ban that an exit of this minute brought."""
    for _, trade in ended:
        old, new = before.get(trade.symbol), after.get(trade.symbol)
        if new is None or new.ban_until is None or new.ban_until == (old.ban_until if old else None):
            continue
        message = messages.ban(symbol=trade.symbol, until=new.ban_until, violations=new.violation_count)
        yield Alert("ban", at, message, key=f"ban:{trade.symbol}:{new.ban_until.isoformat()}")


def feed_alerts(events: Sequence[FeedEvent]) -> Iterator[Alert]:
    """Yield alerts for symbols that a feed hears nothing of."""
    for event in events:
        if event.kind in ("stale", "halted") and event.symbol:
            at = datetime.fromtimestamp(event.at_ms / 1000, UTC)
            yield Alert("stale_symbol", at, Message(f"{event.symbol} is {event.kind}", event.detail))


def _scan_key(session: int, since: str) -> str:
    return f"scan_empty:{session}:{since}"


def _opening(position: Opened, downtime: bool) -> Message:
    side = "short" if position.qty < 0 else "long"
    caught_up = "; on candles fetched after an outage" if downtime else ""
    return Message(
        f"entry {position.symbol} at {position.price:.6g}",
        f"{side}, {abs(position.qty):.6g} for {abs(position.qty) * position.price:.2f} USD{caught_up}",
    )


def _entry(entry: Entry, downtime: bool) -> Message:
    return messages.entry(
        symbol=entry.symbol, price=entry.price, qty=entry.qty, notional_usd=entry.notional_usd,
        stop_price=entry.stop_price, stop_pct=entry.stop_pct, risk_usd=entry.risk_usd, cap_bound=entry.cap_bound,
        downtime=downtime,
    )  # fmt: skip
