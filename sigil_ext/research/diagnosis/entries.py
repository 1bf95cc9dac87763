"""What is diagnosed: positions with the buys that made them, and the exit rule they lived under.

The same nouns for backtests, paper history and the earlier bot's rows. Start at `Run`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sigil_ext.bridge.records import Trade
from sigil_ext.db.reading import PositionRow
from sigil_ext.settings.models import VariantSettings

BY_HAND = frozenset({"manual", "kill_switch", "adopted_close"})


@dataclass(frozen=True, slots=True)
class ExitRule:
    """How a position is left; the keys of `hard_stop`, `trail` and `flat`. `cost_rate` is a fraction a side."""

    multiplier: float
    floor_pct: float
    cap_pct: float
    activation_atr: float
    trail_multiplier: float
    flat_after_minutes: float
    flat_max_move_pct: float
    signal_minutes: int
    atr_minutes: int
    cost_rate: float

    @classmethod
    def of(cls, s: VariantSettings) -> ExitRule:
        """Return the rule that `s` describes."""
        return cls(
            s.hard_stop.multiplier, s.hard_stop.floor_pct, s.hard_stop.cap_pct, s.trail.activation_atr,
            s.trail.multiplier, s.flat.after.total_seconds() / 60, s.flat.max_move_pct, s.signal_minutes,
            s.atr_minutes, s.costs.rate,
        )  # fmt: skip

    def fixed(self, pct: float) -> ExitRule:
        """Return the rule with a stop `pct` percent away, whatever the ATR."""
        return replace(self, multiplier=0.0, floor_pct=pct, cap_pct=max(pct, self.cap_pct))

    def atrs(self, multiplier: float, *, free: bool = False) -> ExitRule:
        """Return the rule with a stop of `multiplier` ATRs, within floor and cap or, `free`, without them."""
        if free:
            return replace(self, multiplier=multiplier, floor_pct=0.1, cap_pct=99.0)
        return replace(self, multiplier=multiplier)

    def trailing(self, multiplier: float, activation: float | None = None) -> ExitRule:
        """Return the rule with another trail."""
        return replace(
            self,
            trail_multiplier=multiplier,
            activation_atr=self.activation_atr if activation is None else activation,
        )


@dataclass(frozen=True, slots=True)
class Buy:
    """One entry signal that became an order. `at_ms` is the end of its minute; `qty` as ordered."""

    at_ms: int
    price: float
    qty: float


@dataclass(frozen=True, slots=True)
class Position:
    """A closed position. NaN is what was never written: the earlier bot stored no ATR and no stop."""

    symbol: str
    buys: tuple[Buy, ...]
    closed_at_ms: int
    exit_price: float
    exit_reason: str
    pnl_usd: float
    atr: float
    stop_pct: float

    @property
    def opened_at_ms(self) -> int:
        return self.buys[0].at_ms

    @property
    def entry_price(self) -> float:
        """The price of the first buy, which the stop was measured from."""
        return self.buys[0].price

    @property
    def notional_usd(self) -> float:
        return sum(b.qty * b.price for b in self.buys)

    @property
    def hard_stopped(self) -> bool:
        return self.exit_reason == "hard_stop"

    @property
    def by_hand(self) -> bool:
        """Whether a person ended it, or something that no rule of the session decides."""
        return self.exit_reason in BY_HAND

    @property
    def minutes(self) -> float:
        return (self.closed_at_ms - self.opened_at_ms) / 60_000


@dataclass(frozen=True, slots=True)
class Run:
    """The closed positions of one variant from one source, with the rules that made them."""

    name: str
    positions: tuple[Position, ...]
    rule: ExitRule
    settings: dict[str, Any]
    notes: tuple[str, ...] = ()


def from_trades(trades: Iterable[Trade]) -> tuple[Position, ...]:
    """Return the positions of a simulation, in the order they were opened."""
    found = [
        Position(
            t.symbol,
            tuple(Buy(f.at_ms, f.price, f.qty) for f in t.fills if f.side == "buy")
            or (Buy(t.opened_at_ms, t.entry_price, t.qty),),
            t.closed_at_ms, t.exit_price, t.exit_reason, t.pnl_usd, _number(t.atr_at_entry), _number(t.stop_pct),
        )
        for t in trades
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda p: (p.opened_at_ms, p.symbol)))


def from_rows(rows: Iterable[PositionRow]) -> tuple[Position, ...]:
    """Return the closed positions among database rows. An increased position counts as one buy at its average entry."""
    found = [
        Position(
            r.symbol, (Buy(_ms(r.opened_at), r.entry_price, r.qty),), _ms(r.closed_at), r.exit_price, r.exit_reason,
            r.pnl_usd, _number(r.atr_at_entry), _number(r.stop_pct),
        )
        for r in rows
        if r.closed_at is not None and r.exit_price is not None and r.exit_reason is not None and r.pnl_usd is not None
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda p: (p.opened_at_ms, p.symbol)))


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
