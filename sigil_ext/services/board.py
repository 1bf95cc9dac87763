"""What the panel's overview shows of one variant: how it lives, what it holds, what it brought, how far from the gate.

Questions to one database, each a plain function of it, so that the panel may ask all variants side by side. Start at
`overview`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from sigil_ext.db import board
from sigil_ext.db.board import EquitySpan, ExitSum
from sigil_ext.db.connection import Database
from sigil_ext.db.paper_periods import StoredVerdict, verdicts
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.db.standing import Standing, read_standing
from sigil_ext.services.board_gate import Progress, progress_of
from sigil_ext.services.positions import Position, Positions
from sigil_ext.services.readings_course import course
from sigil_ext.services.status import Life, judged


@dataclass(frozen=True, slots=True)
class Head:
    """How a variant lives, for the head of every page that shows it."""

    life: Life
    problems: tuple[str, ...]
    standing: Standing


@dataclass(frozen=True, slots=True)
class Overview:
    """One column of the overview."""

    head: Head
    held: tuple[Position, ...]
    refused: tuple[tuple[str, int], ...]
    """Reason and refused entry signals, the most first."""
    exits: tuple[ExitSum, ...]
    span: EquitySpan | None
    gate: Progress
    verdict: StoredVerdict | None

    @property
    def trades(self) -> int:
        return sum(e.trades for e in self.exits)

    @property
    def won(self) -> int:
        return sum(e.won for e in self.exits)

    @property
    def hard_stops(self) -> ExitSum | None:
        return next((e for e in self.exits if e.reason == "hard_stop"), None)


def head(database: Database) -> Head:
    """Return how the variant of `database` lives."""
    standing = read_standing(database)
    life, problems = judged(standing)
    return Head(life, problems, standing)


def overview(database: Database) -> Overview:
    """Return the column of the variant of `database`."""
    at_the_head = head(database)
    exits = board.exits(database)
    span = recorded_span(database)
    store = PostgresStore(database)
    held = Positions(store).listed("open").positions
    last = next(iter(verdicts(database, 1)), None)
    return Overview(at_the_head, held, _refused(store), tuple(exits), span, progress_of(database), last)


def recorded_span(database: Database) -> EquitySpan | None:
    """Return what stretch of time the wallet was recorded for, None where it never was."""
    found = course(database)
    if found is None:
        return None
    return EquitySpan(found.first, found.last, found.snapshots, found.days, found.first_usd, found.peak_usd)


def _refused(store: PostgresStore) -> tuple[tuple[str, int], ...]:
    counts: Counter[str] = Counter()
    for refusal in store.refusals():
        counts[refusal.reason] += refusal.signals
    return tuple((reason, count) for reason, count in counts.most_common() if count)


def equity(database: Database, window: timedelta | None, points: int = 400) -> list[tuple[datetime, float]]:
    """Return (time, USD) of the recorded wallet, the last `window` of it or all, in about `points` points."""
    span = recorded_span(database)
    if span is None:
        return []
    since = span.first if window is None else max(span.first, span.last - window)
    return board.equity_curve(database, since, span.last, points)
