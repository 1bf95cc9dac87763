"""Positions for people: open and closed ones of both books, what they are worth now, where they came from.

Reads only. Start at `Positions.listed` and `Positions.one`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from sigil_ext.db import reading
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.db.reading import LastPrice, PositionRow
from sigil_ext.errors import UnknownSymbol, UsageError, hint
from sigil_ext.rules.excursions import excursions_r
from sigil_ext.rules.symbols import to_jesse
from sigil_ext.rules.types import Signal, UniverseRow

Which = Literal["open", "closed", "all"]
RESTING_STOPS = ("hard_stop", "atr_trail")


@dataclass(frozen=True, slots=True)
class Position:
    """A position with what follows from its price: of its exit, or of the last recorded minute while it is open.

    `r` is the move in units of the distance to the hard stop, `move_pct` in percent of the entry, both before costs.
    `at_adoption`: the stop is the one that a session gave it when it found it open; a trail may have moved it since.
    """

    row: PositionRow
    price: float | None
    price_at: datetime | None
    r: float | None
    move_pct: float | None
    at_adoption: bool = False

    @property
    def side(self) -> Literal["long", "short"]:
        """Short ones, of strategies of the user's own, have a negative quantity."""
        return "short" if self.row.qty < 0 else "long"

    @property
    def unrealized_usd(self) -> float | None:
        """P&L of an open position at `price`, before costs."""
        if self.row.status != "open" or self.price is None:
            return None
        return (self.price - self.row.entry_price) * self.row.qty


@dataclass(frozen=True, slots=True)
class Listing:
    """Positions, open ones first, then the newest; `left_out` older ones that the limit cut off.

    `pnl_usd` is of the closed ones, without `unpriced` of them, of which no P&L is known.
    """

    positions: tuple[Position, ...]
    left_out: int
    open: int
    closed: int
    superseded: int
    unpriced: int
    pnl_usd: float


@dataclass(frozen=True, slots=True)
class Detail:
    """One position with its signal and its place in the universe. Excursions may be measured here, from the record."""

    position: Position
    signal: Signal | None
    universe: UniverseRow | None
    mae_r: float | None
    mfe_r: float | None
    measured: bool
    """True when MAE and MFE were measured now, because the row does not hold them."""


@dataclass(frozen=True, slots=True)
class Positions:
    """The positions of one variant."""

    store: PostgresStore

    def listed(
        self, which: Which = "all", symbol: str | None = None, since: datetime | None = None, limit: int | None = None
    ) -> Listing:
        """Return positions, filtered.

        Args:
            since: only what is open, or was closed at or after this instant. limit: of those not open, the newest so many.
        Raises:
            UnknownSymbol: the variant never met `symbol`.
        """
        name = self._known(symbol) if symbol is not None else None
        rows = [
            row
            for row in reading.positions(self.store.database, None if which == "all" else which)
            if (name is None or row.symbol == name)
            and (since is None or row.status == "open" or (row.closed_at or row.opened_at) >= since)
        ]
        held = [row for row in rows if row.status == "open"]
        past = sorted((r for r in rows if r.status != "open"), key=lambda r: r.closed_at or r.opened_at, reverse=True)
        kept = past if limit is None else past[:limit]
        prices = reading.last_prices(self.store.database, {row.symbol for row in held})
        adopted = reading.adopted_stops(self.store.database)
        return Listing(
            tuple(_valued(row, prices.get(row.symbol), adopted) for row in [*held, *kept]),
            len(past) - len(kept),
            len(held),
            sum(row.status == "closed" for row in past),
            sum(row.status == "superseded" for row in past),
            sum(row.status == "closed" and row.pnl_usd is None for row in past),
            sum(row.pnl_usd or 0.0 for row in past),
        )

    def one(self, name: str) -> Detail:
        """Return the position of a number: 12, or p12 for one of the earlier bot's other book.

        Raises:
            UsageError: there is none of that number.
        """
        rows = {row.name: row for row in reading.positions(self.store.database)}
        row = rows.get(name.strip().lower())
        if row is None:
            raise UsageError(f"variant '{self.store.variant}' has no position {name}; {_near(name, rows)}")
        price = reading.last_prices(self.store.database, [row.symbol]).get(row.symbol) if row.status == "open" else None
        position = _valued(row, price, reading.adopted_stops(self.store.database))
        row = position.row
        mae_r, mfe_r, measured = self._excursions(position)
        return Detail(
            position, reading.signal_of(self.store.database, row), self._universe_row(row), mae_r, mfe_r, measured
        )

    def _excursions(self, position: Position) -> tuple[float | None, float | None, bool]:
        row = position.row
        if row.mae_r is not None or row.mfe_r is not None:
            return row.mae_r, row.mfe_r, False
        until = row.closed_at or position.price_at
        if position.price is None or until is None or not row.stop_pct or until <= row.opened_at:
            return None, None, False
        minutes = reading.minutes_of(self.store.database, row.symbol, row.opened_at, until)
        if minutes is None:
            return None, None, False
        left_at_close = row.exit_reason not in RESTING_STOPS
        mae_r, mfe_r = excursions_r(
            minutes, _ms(row.opened_at), _ms(until), row.entry_price, position.price, row.stop_pct,
            left_at_close=left_at_close,
        )  # fmt: skip
        return mae_r, mfe_r, True

    def _universe_row(self, row: PositionRow) -> UniverseRow | None:
        scan = self.store.scan(row.universe_id) if row.universe_id is not None else None
        return next((r for r in scan.rows if r.symbol == row.symbol), None) if scan else None

    def _known(self, symbol: str) -> str:
        known = self.store.known_symbols()
        try:
            name = to_jesse(symbol)
        except ValueError:
            raise UnknownSymbol(symbol, known) from None
        if name not in known:
            raise UnknownSymbol(name, known)
        return name


def _valued(
    row: PositionRow, last: LastPrice | None, adopted: Mapping[tuple[str, int], tuple[float, float]]
) -> Position:
    row, at_adoption = _stopped(row, adopted)
    bare = Position(row, row.exit_price, row.closed_at, None, None, at_adoption)
    if row.status == "open":
        if last is None or last.at < row.opened_at:
            return bare
        bare = replace(bare, price=last.price, price_at=last.at)
    if bare.price is None or not row.entry_price > 0:
        return bare
    move_pct = (bare.price / row.entry_price - 1) * (100 if row.qty > 0 else -100)  # short: a strategy's own
    return replace(bare, move_pct=move_pct, r=move_pct / row.stop_pct if row.stop_pct else None)


def _stopped(row: PositionRow, adopted: Mapping[tuple[str, int], tuple[float, float]]) -> tuple[PositionRow, bool]:
    """Return a row with the stop of its adoption where that is the last that is written of it, and whether it is."""
    stop = adopted.get((row.table, row.id))
    if stop is None or (row.stop_price is not None and row.status != "open"):
        return row, False
    return replace(row, stop_price=stop[0], stop_pct=stop[1]), True


def _near(name: str, rows: dict[str, PositionRow]) -> str:
    digits = re.sub(r"\D", "", name)
    other = [n for n in (digits, f"p{digits}") if n in rows]
    if other:
        return f"did you mean '{other[0]}'?"
    numbers = list(rows)
    if len(numbers) > 12:
        return f"known: {numbers[0]} to {numbers[-1]}, see sigil positions list"
    return hint(name, rows)


def _ms(at: datetime) -> int:
    return int(at.astimezone(UTC).timestamp() * 1000)
