"""The universe for people: what a scan found, why a symbol is in or out, what changed, and a scan by hand.

Start at `Universes`; a scan of candles is `scan_now`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sigil_ext.bridge.candle_files import load_candles
from sigil_ext.bridge.scanning import scan_candles
from sigil_ext.db import migrate, reading
from sigil_ext.db.connection import Database
from sigil_ext.db.journal import Journal
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.errors import CandleError, DatabaseUnavailable, SettingsError, UnknownSymbol, UsageError
from sigil_ext.instants import clock, utc
from sigil_ext.rules import universe_words
from sigil_ext.rules.indicators import WINDOW
from sigil_ext.rules.symbols import to_jesse
from sigil_ext.rules.types import UniverseRow, UniverseScan
from sigil_ext.rules.universe_words import Explanation
from sigil_ext.services.database import open_store
from sigil_ext.settings.models import UniverseSettings
from sigil_ext.settings.overlays import RESEARCH_ONLY, Variant, load_variant, merge
from sigil_ext.settings.project import Project, find_project

MINUTE_MS = 60_000
DAY_MINUTES = 1440
LAST_NUMBERS = 5


@dataclass(frozen=True, slots=True)
class StoredScan:
    """A scan as the database holds it."""

    id: int
    scan: UniverseScan


@dataclass(frozen=True, slots=True)
class Explained:
    """Why one symbol is in or out of one scan, and whose settings that was judged by."""

    stored: StoredScan
    row: UniverseRow
    why: Explanation
    settings_from: str


@dataclass(frozen=True, slots=True)
class Move:
    """A symbol that came into the universe or left it, with the reasons before and after; None: not in the pool then."""

    symbol: str
    came: bool
    before: UniverseRow | None
    after: UniverseRow | None
    why: str


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed from one scan to another."""

    first: StoredScan
    second: StoredScan
    moves: tuple[Move, ...]
    stayed: int
    other_reasons: tuple[tuple[str, str, str], ...]
    """(symbol, reason before, reason after) of symbols that stayed in, or stayed out, for another reason."""


@dataclass(frozen=True, slots=True)
class HandScan:
    """A scan by hand: its candles, what it considered, and its number if it was stored."""

    scan: UniverseScan
    candles_from: str
    considered: str
    stored_as: int | None


@dataclass(frozen=True, slots=True)
class Universes:
    """The stored scans of one variant."""

    store: PostgresStore

    def one(self, scan_id: int | None = None) -> StoredScan | None:
        """Return a scan, by default the last; None where nothing was ever scanned.

        Raises:
            UsageError: there is no scan of that number.
        """
        if scan_id is None:
            last = self.store.last_scan()
            return StoredScan(*last) if last else None
        found = self.store.scan(scan_id) if scan_id < 2**63 else None
        if found is None:
            raise UsageError(f"variant '{self.store.variant}' has no scan {scan_id}; {self._numbers()}")
        return StoredScan(scan_id, found)

    def explain(self, symbol: str, scan_id: int | None = None) -> Explained:
        """Return why `symbol` is in the universe or not, judged by the settings that the scan was made with.

        Raises:
            UsageError: nothing was scanned yet, or there is no such scan. UnknownSymbol: it is not in that scan.
        """
        stored = self.one(scan_id)
        if stored is None:
            raise UsageError(f"variant '{self.store.variant}' has no scan yet, so there is nothing to explain")
        row = _row(stored, symbol)
        limits, origin = self._limits(stored)
        why = universe_words.explain(stored.scan, row, limits, self._ban(row.symbol, stored.scan.at))
        return Explained(stored, row, why, origin)

    def difference(self, numbers: Sequence[int] = ()) -> Difference | None:
        """Return what changed between two scans, by default the last two; None where there are not two yet."""
        if numbers:
            first, second = (self.one(n) for n in numbers)
        else:
            last = reading.scan_ids(self.store.database, 2)
            if len(last) < 2:
                return None
            second, first = (self.one(number) for number, _ in last)
        assert first is not None
        assert second is not None
        before = {row.symbol: row for row in first.scan.rows}
        after = {row.symbol: row for row in second.scan.rows}
        came = sorted(second.scan.accepted - first.scan.accepted)
        left = sorted(first.scan.accepted - second.scan.accepted)
        told = _Teller(self, first, second)
        moves = [told.move(s, came=True) for s in came] + [told.move(s, came=False) for s in left]
        others = [
            (s, before[s].reason, after[s].reason)
            for s in sorted(before.keys() & after.keys())
            if before[s].accepted == after[s].accepted and before[s].reason != after[s].reason
        ]
        stayed = len(first.scan.accepted & second.scan.accepted)
        return Difference(first, second, tuple(moves), stayed, tuple(others))

    def _numbers(self) -> str:
        known = [str(number) for number, _ in reading.scan_ids(self.store.database, LAST_NUMBERS)]
        return f"the last ones are {', '.join(known)}" if known else "nothing was scanned yet"

    def _limits(self, stored: StoredScan) -> tuple[UniverseSettings, str]:
        """Return the universe's settings that made a scan, and where they are from."""
        if (recorded := reading.scan_settings(self.store.database, stored.id)) is not None:
            try:
                return merge(
                    self.store.variant, [("its session", recorded)]
                ).settings.universe, "the session that scanned"
            except SettingsError:  # a session of another version of Sigil
                return self._today(), "today's overlay, because its session had other keys"
        return self._today(), "today's overlay, because no session was recorded then"

    def _today(self) -> UniverseSettings:
        return load_variant(self.store.variant).settings.universe

    def _ban(self, symbol: str, at: datetime) -> datetime | None:
        found = reading.protection_at(self.store.database, symbol, at)
        return found[0] if found and found[0] is not None and found[0] > at else None


@dataclass(frozen=True, slots=True)
class _Teller:
    """Says why symbols moved between two scans."""

    universes: Universes
    first: StoredScan
    second: StoredScan

    def move(self, symbol: str, *, came: bool) -> Move:
        before, after = (_find(stored.scan, symbol) for stored in (self.first, self.second))
        then, now = self._why(self.first, before), self._why(self.second, after)
        return Move(symbol, came, before, after, f"now {now}; before: {then}")

    def _why(self, stored: StoredScan, row: UniverseRow | None) -> str:
        if row is None:
            return "not in the pool"
        limits, _ = self.universes._limits(stored)
        ban_until = self.universes._ban(row.symbol, stored.scan.at)
        return universe_words.why(stored.scan, row, limits, ban_until)


def scan_now(
    variant: Variant,
    *,
    folder: Path | None = None,
    at_ms: int | None = None,
    store: bool = False,
    project: Project | None = None,
) -> HandScan:
    """Scan the pool of `folder`, or of what the last paper session recorded, as a session does at that instant.

    Args:
        at_ms: the instant; None for the end of the candles. store: keep the scan in the variant's database.
    Raises:
        UsageError: nothing is recorded; or a session that is open would take up the stored scan.
        CandleError: no candle in the folder by then. LockHeld: a session runs.
    """
    project = project or find_project()
    if store:
        return _scan_and_store(variant, folder, at_ms, project)
    if folder is None:
        database = open_store(variant.name, project).database
        candles, end_ms, source = _recorded(database, variant, at_ms)
    else:
        candles, end_ms, source = _of_folder(folder, at_ms)
        found = None if variant.name in RESEARCH_ONLY else reading.find_database(project, variant.name)
        if found is None:
            scan = scan_candles(candles, variant.settings, end_ms)
            return HandScan(scan, source, "no bans or positions: there is no database to read them from", None)
        database = found
    banned, held, considered = _barred(database, end_ms, project)
    return HandScan(scan_candles(candles, variant.settings, end_ms, banned=banned, held=held), source, considered, None)


def _scan_and_store(variant: Variant, folder: Path | None, at_ms: int | None, project: Project) -> HandScan:
    keeper = open_store(variant.name, project)
    journal = Journal(keeper.database)
    with closing(journal.lock()):
        if journal.running() is not None:
            raise UsageError(
                f"the paper session of variant '{variant.name}' is not ended and would take up a scan by hand when it "
                "goes on; scan without --store"
            )
        if folder is None:
            candles, end_ms, source = _recorded(keeper.database, variant, at_ms)
        else:
            candles, end_ms, source = _of_folder(folder, at_ms)
        banned, held, considered = _barred(keeper.database, end_ms, project)
        scan = scan_candles(candles, variant.settings, end_ms, banned=banned, held=held)
        return HandScan(scan, source, considered, keeper.save_scan(scan))


Candles = Mapping[str, NDArray[np.float64]]


def _recorded(database: Database, variant: Variant, at_ms: int | None) -> tuple[Candles, int, str]:
    # A quarter more than the bars of an ATR, because bars may be absent; and the 24 hours of the other measures.
    window_ms = max(WINDOW * variant.settings.atr_minutes * 5 // 4, 2 * DAY_MINUTES) * MINUTE_MS
    found = reading.recorded_candles(database, window_ms, at_ms)
    if found is None:
        raise UsageError(
            f"variant '{variant.name}' has recorded no candles yet; name a folder of candle files with --candles"
        )
    if at_ms is not None and at_ms > found.end_ms:
        raise UsageError(f"--at lies after the last recorded minute, which ended {clock(found.end_ms)} UTC")
    return found.candles, found.end_ms, f"session {found.session_id} of variant {variant.name}"


def _of_folder(folder: Path, at_ms: int | None) -> tuple[Candles, int, str]:
    sets = load_candles(folder)
    candles = {symbol: s.candles for symbol, s in sets.items()}
    last = max(s.finish_ms for s in sets.values())
    first = min(s.start_ms for s in sets.values())
    if at_ms is not None and not first < at_ms <= last:
        raise CandleError(f"--at lies outside the candles of {folder}: {clock(first)} to {clock(last)} UTC")
    return candles, at_ms or last, str(folder)


def _barred(database: Database, at_ms: int, project: Project) -> tuple[frozenset[str], frozenset[str], str]:
    """Return the banned and the held symbols, and a sentence on where they are from."""
    try:
        if migrate.state(database, project.migrations).pending:
            return (
                frozenset(),
                frozenset(),
                f"no bans or positions: the {database.address.place} waits for sigil migrate up",
            )
        banned, held = reading.barred_and_held_at(database, utc(at_ms))
    except DatabaseUnavailable as error:
        return frozenset(), frozenset(), f"no bans or positions: {error}"
    return (
        banned,
        held,
        f"bans ({len(banned)}) and open positions ({len(held)}) of the {database.address.place} at that time",
    )


def _row(stored: StoredScan, symbol: str) -> UniverseRow:
    known = [row.symbol for row in stored.scan.rows]
    try:
        name = to_jesse(symbol)
    except ValueError:
        raise UnknownSymbol(symbol, known) from None
    row = _find(stored.scan, name)
    if row is None:
        raise UnknownSymbol(name, known)
    return row


def _find(scan: UniverseScan, symbol: str) -> UniverseRow | None:
    return next((row for row in scan.rows if row.symbol == symbol), None)
