"""What the API reads of one variant: rows with stable names, newest first, page by page.

Every function is one question to one database (see `PanelContext.ask`). Symbols come out as Jesse writes them, times are
aware UTC, `*_usd` is US dollars, `*_pct` percent. A page begins after the `Mark` that the one before ended with.
Start at `positions`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from sigil_ext.db import reading
from sigil_ext.db.connection import Database
from sigil_ext.db.panel import rows
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.db.symbols import row_symbol, store_symbol
from sigil_ext.rules.protections import active_bar
from sigil_ext.services.readings_market import last_prices
from sigil_ext.services.readings_views import (
    ActView,
    AlertView,
    AuditView,
    PositionView,
    ProbeView,
    ProtectionEventView,
    ProtectionView,
    RefusalView,
    ScanView,
    SignalView,
    UniverseRowView,
    UniverseView,
)

_LARGEST = 2**63 - 1
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a page ended: the time and the key of its last row."""

    at: datetime
    key: int


@dataclass(frozen=True, slots=True)
class Window:
    """Which rows: of one symbol, from `since` on, before `until`, older than `before`, at most `limit`."""

    symbol: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: Mark | None = None
    limit: int = 100

    def values(self) -> dict[str, Any]:
        """Return the query's arguments.

        Raises:
            UsageError: `symbol` is none.
        """
        return {
            "symbol": row_symbol(self.symbol) if self.symbol is not None else None,
            "since": self.since,
            "until": self.until,
            "before_at": self.before.at if self.before else None,
            "before_key": self.before.key if self.before else None,
            "limit": self.limit,
        }


@dataclass(frozen=True, slots=True)
class Marked:
    """A row and where it stands in its order: newest first, then by key, largest first.

    Shaped when it is looked at: of the rows of several variants most are not on the page.
    """

    mark: Mark
    shape: Callable[[], Any]

    @property
    def row(self) -> Any:
        return self.shape()


def positions(
    database: Database, window: Window, *, status: str = "all", exit_reason: str | None = None
) -> list[Marked]:
    """Return positions of both books: open ones by their entry, closed ones by their exit, newest first."""
    values = {**window.values(), "variant": database.variant, "status": status, "exit_reason": exit_reason}
    found = rows(database, "positions", **values)
    prices = last_prices(database, {row[3] for row in found if row[4] == "open"})
    variant = database.variant
    bare = any(row[4] == "open" and row[12] is None for row in found)  # the earlier bot's, adopted or not
    adopted = reading.adopted_stops(database) if bare else {}
    return [
        Marked(Mark(row[2], row[0]), partial(_position, variant, _stopped(row, adopted), prices.get(row[3])))
        for row in found
    ]


def _stopped(row: Sequence[Any], adopted: Mapping[tuple[str, int], tuple[float, float]]) -> Sequence[Any]:
    """Return an open row that has no stop with the one that a session gave it when it adopted it."""
    table = "micro_positions" if row[0] > 0 else "paper_positions"
    stop = adopted.get((table, abs(row[0]))) if row[4] == "open" and row[12] is None else None
    return row if stop is None else (*row[:12], *stop, *row[14:])


def _position(variant: str, row: Sequence[Any], last: tuple[float, datetime] | None) -> PositionView:
    (_, name, _, symbol, status, opened_at, closed_at, entry, exit_price, qty, high, atr, stop, stop_pct, armed, risk,
     notional, cap, universe, increases, mae, mfe, reason, detail, fees, pnl, downtime) = row  # fmt: skip
    price, price_at = (exit_price, closed_at) if status != "open" else (None, None)
    if status == "open" and last is not None and last[1] >= opened_at:
        price, price_at = last
    move_pct = (price / entry - 1) * (100 if qty > 0 else -100) if price is not None and entry > 0 else None
    return PositionView(
        id=name, variant=variant, symbol=store_symbol(symbol), status=status, opened_at=opened_at, closed_at=closed_at,
        entry_price=entry, exit_price=exit_price, qty=qty, notional_usd=notional, stop_price=stop, stop_pct=stop_pct,
        hard_stop_price=entry * (1 - stop_pct / 100) if stop_pct is not None else None, trail_armed=armed,
        high_water=high, atr_at_entry=atr, risk_usd=risk, cap_bound=cap, universe_id=universe, increases=increases,
        price=price, price_at=price_at, move_pct=move_pct, r=move_pct / stop_pct if move_pct is not None and stop_pct else None,
        unrealized_usd=(price - entry) * qty if status == "open" and price is not None else None, mae_r=mae, mfe_r=mfe,
        exit_reason=reason, exit_detail=detail, fees_usd=fees, pnl_usd=pnl, downtime=downtime,
    )  # fmt: skip


def signals(
    database: Database, window: Window, *, acted: bool | None = None, reason: str | None = None
) -> list[Marked]:
    """Return entry signals; `acted`: those that were entered, or those that were not; `reason`: of the refusal."""
    return _marked(
        rows(database, "signals", **window.values(), acted=acted, reason=reason),
        lambda r: SignalView(r[0], database.variant, store_symbol(r[1]), *r[2:]),
        at=2,
    )


def refusals(database: Database, symbol: str | None = None, reason: str | None = None) -> list[RefusalView]:
    """Return refusals by symbol and reason, those with the most signals first."""
    values = {"symbol": row_symbol(symbol) if symbol is not None else None, "reason": reason}
    return [RefusalView(database.variant, store_symbol(r[0]), *r[1:]) for r in rows(database, "refusals", **values)]


def protections(database: Database, now: datetime, active: bool | None = None) -> list[ProtectionView]:
    """Return every symbol that was ever barred, judged at `now`; `active`: only those barred, or only those free."""
    found = []
    for p in PostgresStore(database).protections():
        bar = active_bar(p, now)
        if active is not None and active != (bar is not None):
            continue
        until = None if bar is None else p.ban_until if bar == "ban" else p.expires_at
        found.append(
            ProtectionView(
                database.variant, p.symbol, bar, until, p.expires_at, p.ban_until, p.violation_count,
                p.last_violation_at, p.reason,
            )
        )  # fmt: skip
    return sorted(found, key=lambda p: (p.active is None, p.symbol))


def protection_events(database: Database, window: Window) -> list[Marked]:
    """Return what happened to protections."""
    return _marked(
        rows(database, "protection_events", **window.values()),
        lambda r: ProtectionEventView(r[0], database.variant, store_symbol(r[1]), *r[2:]),
        at=2,
    )


def acts(database: Database, window: Window) -> list[Marked]:
    """Return acts upon breaker, pause, protections and positions. Those of a session have negative numbers."""
    return _marked(
        rows(database, "acts", **window.values()),
        lambda r: ActView(r[0], database.variant, r[1], r[2], r[3], store_symbol(r[4]) if r[4] else None, *r[5:]),
        at=1,
    )


def audits(database: Database, window: Window) -> list[Marked]:
    """Return audits."""
    return _marked(
        rows(database, "audits", **window.values()), lambda r: AuditView(r[0], database.variant, *r[1:]), at=1
    )


def audit(database: Database, number: int) -> tuple[AuditView, Any] | None:
    """Return one audit and its report, None where there is none of that number."""
    found = rows(database, "audit", id=number) if 0 < number <= _LARGEST else []
    return (AuditView(found[0][0], database.variant, *found[0][1:-1]), found[0][-1]) if found else None


def scans(database: Database, window: Window) -> list[Marked]:
    """Return scans of the pool."""
    return _marked(rows(database, "scans", **window.values()), lambda r: ScanView(r[0], database.variant, *r[1:]), at=1)


def universe(database: Database, number: int | None = None) -> UniverseView | None:
    """Return a scan, by default the last, with every symbol; None where there is none."""
    store = PostgresStore(database)
    if number is None:
        last = store.last_scan()
        if last is None:
            return None
        number, scan = last
    else:
        found = store.scan(number) if 0 < number <= _LARGEST else None
        if found is None:
            return None
        scan = found
    return UniverseView(
        number,
        database.variant,
        scan.at,
        tuple(UniverseRowView(r.symbol, r.accepted, r.reason, r.score, r.rank, dict(r.measures)) for r in scan.rows),
    )


def alerts(database: Database, window: Window) -> list[Marked]:
    """Return messages to people."""
    return _marked(
        rows(database, "alerts", **window.values()), lambda r: AlertView(r[0], database.variant, *r[1:]), at=1
    )


def probes(database: Database, window: Window) -> list[Marked]:
    """Return runs of the probe."""
    return _marked(
        rows(database, "probes", **window.values()),
        lambda r: ProbeView(r[0], database.variant, r[1], tuple(str(f.get("detail", "")) for f in r[2]), r[3]),
        at=1,
    )


def symbol_of(text: str) -> str:
    """Return Jesse's name of a symbol.

    Raises:
        UsageError: it is none.
    """
    return store_symbol(row_symbol(text))


def _marked(found: Sequence[Sequence[Any]], view: Callable[[Sequence[Any]], Any], *, at: int) -> list[Marked]:
    return [Marked(Mark(row[at], row[0]), partial(view, row)) for row in found]
