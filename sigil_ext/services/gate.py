"""Gate: may a variant graduate? Read its paper record, judge it, write the verdict down. Start at `gate`.

`glance` judges by the same rules and writes nothing, for pages that ask all the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sigil_ext.db import paper_periods as periods
from sigil_ext.db.connection import Database
from sigil_ext.db.paper_periods import PaperSession, StoredAudit
from sigil_ext.errors import UsageError
from sigil_ext.instants import clock, utc
from sigil_ext.research.backtest_format import counted
from sigil_ext.research.backtest_stats import json_safe
from sigil_ext.research.graduation import AuditSpan, PaperRecord, gather
from sigil_ext.rules.graduation import Evidence, Interval, Thresholds, Verdict, judge
from sigil_ext.services.database import open_database
from sigil_ext.services.gate_memory import ANEW, REMEMBERED, Source
from sigil_ext.services.protections import actor
from sigil_ext.settings.project import Project

MINUTE_MS = 60_000
LIVE_WITHIN = timedelta(minutes=15)
"""A minute that was recorded later than this after its end was not seen live, whatever the feed."""

NOTHING = Evidence(0.0, 0, Interval(0.0), None, None, None)
NO_SESSION = "no paper session traded a minute yet; begin one with: sigil run paper"


@dataclass(frozen=True, slots=True)
class GateReport:
    """A verdict as it was written down. `since` None: nothing was recorded. `looks` counts this one."""

    variant: str
    number: int
    at: datetime
    since: datetime | None
    until: datetime | None
    looks: int
    verdict: Verdict
    evidence: Evidence
    figures: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return the report as plain values."""
        head = {
            "variant": self.variant, "verdict": self.number, "at": self.at.isoformat(),
            "since": self.since.isoformat() if self.since else None,
            "until": self.until.isoformat() if self.until else None, "looks": self.looks,
        }  # fmt: skip
        return head | _judged(self.verdict, self.evidence, self.figures, self.notes)


def gate(
    variant: str, *, since_ms: int | None = None, project: Project | None = None, thresholds: Thresholds | None = None
) -> GateReport:
    """Judge the time that `variant` has been on paper with the settings of its newest session, and keep the verdict.

    Args:
        since_ms: judge from here on only.
    Raises:
        UsageError: there is no such variant, or nothing was recorded since `since_ms`.
    """
    return judge_record(open_database(variant, project), since_ms=since_ms, thresholds=thresholds)


def judge_record(
    database: Database, *, since_ms: int | None = None, thresholds: Thresholds | None = None
) -> GateReport:
    """Do what `gate` does, on a database that is ready."""
    with database.one_transaction() as cur:  # one look at a record that grows
        cur.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        chosen = _unchanged(periods.sessions(database))
        record, notes = _read(database, chosen, since_ms) if chosen else (None, [NO_SESSION])
        since = utc(record.since_ms) if record else None
        looks = 1 + (periods.looks(database, since) if since else 0)
    figures: dict[str, Any] = {}
    if record is None:
        evidence = NOTHING
    else:
        evidence, figures = gather(record)
    verdict = judge(evidence, thresholds)
    until = utc(record.until_ms) if record else None
    document = _judged(verdict, evidence, figures, notes)
    number, at = periods.write_verdict(
        database, since=since, until=until, outcome=verdict.outcome, looks=looks, asked_by=actor(), document=document
    )
    return GateReport(database.variant, number, at, since, until, looks, verdict, evidence, figures, tuple(notes))


def glance(database: Database) -> tuple[Evidence, Verdict]:
    """Return the verdict that `judge_record` would give now, without intervals, and write nothing down.

    Its outcomes are the gate's; `sure` means nothing here. Reads only, in a transaction of the caller's or in none.
    """
    chosen = _unchanged(periods.sessions(database))
    evidence = REMEMBERED.weighed(database, _read(database, chosen, None, REMEMBERED)[0]) if chosen else NOTHING
    return evidence, judge(evidence)


def _unchanged(found: Sequence[PaperSession]) -> list[PaperSession]:
    """Return the newest sessions that recorded something, back to where the settings last changed, oldest first."""
    recorded = [s for s in found if s.last_ms is not None]
    chosen: list[PaperSession] = []
    for session in reversed(recorded):
        last = recorded[-1]
        if (session.settings, session.strategy) != (last.settings, last.strategy):
            break
        chosen.insert(0, session)
    # A session on a live feed records minutes before the bar from which it trades.
    return chosen if any(s.last_ms is not None and s.last_ms >= s.start_ms for s in chosen) else []


def _read(
    database: Database, chosen: Sequence[PaperSession], since_ms: int | None, source: Source = ANEW
) -> tuple[PaperRecord, list[str]]:
    begins = min(s.start_ms for s in chosen)
    ends = max(s.last_ms + MINUTE_MS for s in chosen if s.last_ms is not None)
    start = begins if since_ms is None else max(begins, since_ms)
    if start >= ends:
        raise UsageError(f"--since {clock(start)}: paper of variant '{database.variant}' ends at {clock(ends)}")
    since, until = utc(start), utc(ends)
    numbers = [s.id for s in chosen]
    closed = source.closed(database, since, until)
    seen = source.observed(database, numbers, since, until, LIVE_WITHIN)
    record = PaperRecord(
        start, ends, closed.trades, closed.downtime, periods.equity_change(database, since, until), seen.live, seen.first_ms, seen.last_ms,
        seen.longest_step_ms, periods.feed_events(database, numbers, since, until), max(len(s.symbols) for s in chosen),
        tuple(_span(a) for a in periods.audits(database, since, until) if a.session in numbers),
    )  # fmt: skip
    notes = [
        f"judged from {since:%Y-%m-%d %H:%M}, when "
        + ("asked for" if start != begins else "these settings began to trade")
        + f"; {counted(len(chosen), 'session')}"
    ]
    if closed.opened_before:
        notes.append(f"{counted(closed.opened_before, 'trade')} opened before the period: left out")
    if seen.minutes > seen.live:
        notes.append(
            f"{seen.minutes - seen.live} of {seen.minutes} recorded minutes were not seen live: replayed, or fetched afterwards"
        )
    if still := periods.open_positions(database, since):
        notes.append(
            f"{counted(still, 'position')} open: the change of the wallet marks them, P&L and win rate know closed ones"
        )
    if closed.by_hand:
        notes.append(f"{counted(closed.by_hand, 'trade')} closed by a person")
    if seen_events := record.feed_events:
        notes.append("the feed told of: " + ", ".join(f"{kind} {count}" for kind, count in seen_events.items()))
    return record, notes


def _span(audit: StoredAudit) -> AuditSpan:
    return AuditSpan(
        audit.id, audit.session, round(audit.since.timestamp() * 1000), round(audit.until.timestamp() * 1000),
        audit.matched, audit.paper_only + audit.backtest_only + audit.differing, audit.unexplained,
        tuple(audit.report.get("differences", ())),
    )  # fmt: skip


def _judged(verdict: Verdict, evidence: Evidence, figures: dict[str, Any], notes: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = json_safe(
        {
            "outcome": verdict.outcome, "sure": verdict.sure, "missing": list(verdict.missing),
            "criteria": [asdict(c) for c in verdict.criteria], "evidence": asdict(evidence), "figures": figures,
            "notes": list(notes),
        }
    )  # fmt: skip
    return found
