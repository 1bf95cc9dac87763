"""What the panel's page of one variant shows, in one question to its database. Start at `variant_page`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sigil_ext.db import board
from sigil_ext.db.board import ExitSum, FeedEvent, Hour, ProbeRun, ScanRow, SessionRow, StoredSignal
from sigil_ext.db.connection import Database
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.rules.protections import active_bar
from sigil_ext.rules.types import Protection, ProtectionEvent, RefusalCount, UniverseScan
from sigil_ext.services.board import Head, head
from sigil_ext.services.positions import Listing, Positions

CLOSED_SHOWN = 50
SIGNALS_SHOWN = 30
CHANGES_SHOWN = 30
HOURS_SHOWN = 72
SCANS_SHOWN = 72
PROBES_SHOWN = 72
FEED_EVENTS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Barred:
    """A protection and what it does now, by the market's clock: a ban, a cooldown, or nothing any more."""

    protection: Protection
    bar: str | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class RefusalSum:
    """Refusals of one reason: bars on which the guard was shut, how many of them held a signal, which symbols."""

    reason: str
    bars: int
    signals: int
    symbols: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class VariantPage:
    """Everything on the page but the charts, which ask for themselves."""

    head: Head
    session: SessionRow | None
    positions: Listing
    exits: tuple[ExitSum, ...]
    refusals: tuple[RefusalSum, ...]
    signals: tuple[StoredSignal, ...]
    scan: tuple[int, UniverseScan] | None
    protections: tuple[Barred, ...]
    changes: tuple[ProtectionEvent, ...]
    hours: tuple[Hour, ...]
    scans: tuple[ScanRow, ...]
    probes: tuple[ProbeRun, ...]
    feed_events: tuple[FeedEvent, ...]

    @property
    def symbols(self) -> list[str]:
        """What the candle chart may show: the pool, and what was ever traded."""
        return sorted(
            {*(self.session.symbols if self.session else ()), *(p.row.symbol for p in self.positions.positions)}
        )


def variant_page(database: Database) -> VariantPage:
    """Return the page of the variant of `database`."""
    store = PostgresStore(database)
    at_the_head = head(database)
    session = board.last_session(database)
    return VariantPage(
        head=at_the_head,
        session=session,
        positions=Positions(store).listed("all", limit=CLOSED_SHOWN),
        exits=tuple(board.exits(database)),
        refusals=refusals_by_reason(store.refusals()),
        signals=tuple(board.signals(database, SIGNALS_SHOWN)),
        scan=store.last_scan(),
        protections=barred(store.protections(), at_the_head.standing.market_now),
        changes=tuple(board.protection_changes(database, CHANGES_SHOWN)),
        hours=tuple(board.minutes_by_hour(database, session.id, HOURS_SHOWN)) if session else (),
        scans=tuple(board.scans(database, SCANS_SHOWN)),
        probes=tuple(board.probe_runs(database, PROBES_SHOWN)),
        feed_events=tuple(board.feed_events(database, FEED_EVENTS_SHOWN)),
    )


def refusals_by_reason(counts: Sequence[RefusalCount]) -> tuple[RefusalSum, ...]:
    """Return refusals summed by reason, most signals first; of each its symbols, most signals first."""
    found: dict[str, list[RefusalCount]] = {}
    for count in counts:
        found.setdefault(count.reason, []).append(count)
    sums = [
        RefusalSum(
            reason,
            sum(c.bars for c in of),
            sum(c.signals for c in of),
            tuple((c.symbol, c.signals) for c in sorted(of, key=lambda c: (-c.signals, -c.bars)) if c.signals),
        )
        for reason, of in found.items()
    ]
    return tuple(sorted(sums, key=lambda s: (-s.signals, -s.bars, s.reason)))


def barred(protections: Sequence[Protection], market_now: datetime) -> tuple[Barred, ...]:
    """Return protections as they stand at `market_now`, what bars first."""
    rows = [Barred(p, bar := active_bar(p, market_now), _until(p, bar)) for p in protections]
    return tuple(sorted(rows, key=lambda b: (b.bar is None, b.protection.symbol)))


def _until(protection: Protection, bar: str | None) -> datetime | None:
    return {"ban": protection.ban_until, "cooldown": protection.expires_at}.get(bar or "")
