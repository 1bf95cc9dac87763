"""Paper against backtest: which trades match, which do not, and why. Pure. Start at `compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Kind = Literal["paper_only", "backtest_only", "differs"]
FOLLOWS = frozenset({"position_open", "cooldown", "ban", "max_open_positions", "not_enough_cash", "not_in_universe"})
COMPARED = ("entry_price", "qty", "closed_at_ms", "exit_price", "exit_reason", "pnl_usd")


@dataclass(frozen=True, slots=True)
class AuditTrade:
    """One position as the audit compares it. Still open: everything of its exit is None. Prices in quote currency."""

    symbol: str
    opened_at_ms: int
    entry_price: float
    qty: float
    closed_at_ms: int | None
    exit_price: float | None
    exit_reason: str | None
    pnl_usd: float | None
    downtime: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that paper and backtest do not share. `cause` None: not known."""

    kind: Kind
    symbol: str
    opened_at_ms: int
    cause: str | None
    fields: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of an audit."""

    matched: int
    differences: tuple[Difference, ...]

    def count(self, kind: Kind) -> int:
        """Return how many differences are of `kind`."""
        return sum(d.kind == kind for d in self.differences)

    @property
    def unexplained(self) -> int:
        """Return how many differences have no known cause."""
        return sum(d.cause is None for d in self.differences)

    def document(self) -> list[dict[str, Any]]:
        """Return the differences as plain values."""
        return [asdict(d) for d in self.differences]


def compare(
    paper: Sequence[AuditTrade],
    backtest: Sequence[AuditTrade],
    *,
    closed_by_hand: Mapping[tuple[str, int], str],
    paper_refused: Mapping[tuple[str, int], str],
    backtest_refused: Mapping[tuple[str, int], str],
    found_open: frozenset[str] = frozenset(),
) -> Comparison:
    """Compare trade by trade, to the last float.

    Args:
        closed_by_hand: (symbol, opened ms) -> exit reason of positions that a person closed.
        paper_refused, backtest_refused: (symbol, ms) -> reason of entry signals that were refused there.
        found_open: symbols that the session had adopted, of which the backtest knows nothing.
    """
    ours = {(t.symbol, t.opened_at_ms): t for t in paper}
    theirs = {(t.symbol, t.opened_at_ms): t for t in backtest}
    differences: list[Difference] = []
    matched = 0
    for key in sorted(ours.keys() | theirs.keys(), key=lambda k: (k[1], k[0])):
        mine, other = ours.get(key), theirs.get(key)
        if mine is not None and other is not None:
            fields = {
                f: (getattr(mine, f), getattr(other, f)) for f in COMPARED if getattr(mine, f) != getattr(other, f)
            }
            if not fields:
                matched += 1
                continue
            by_hand = closed_by_hand.get(key)
            cause = (
                f"closed by a person ({by_hand})" if by_hand and not fields.keys() & {"entry_price", "qty"} else None
            )
            if cause is None and fields.keys() <= {"qty", "pnl_usd"}:
                cause = _consequence(differences, "not_enough_cash")
            differences.append(Difference("differs", *key, cause, fields))
        elif mine is not None:
            cause = _cause(backtest_refused.get(key), differences, found_open, "the backtest refused it")
            differences.append(Difference("paper_only", *key, cause))
        else:
            cause = _cause(paper_refused.get(key), differences, found_open, "paper refused it")
            differences.append(Difference("backtest_only", *key, cause))
    return Comparison(matched, tuple(differences))


def _cause(reason: str | None, before: Sequence[Difference], found_open: frozenset[str], who: str) -> str | None:
    if reason == "database_lost":
        return f"{who}: the database was lost"
    if reason in FOLLOWS:
        if found_open:
            return f"{who}: {reason}; positions adopted at the start count there"
        return _consequence(before, reason, who)
    return None


def _consequence(before: Sequence[Difference], reason: str, who: str = "") -> str | None:
    """An earlier difference whose cause is known explains what it brings about: cash, places, rests."""
    known = next((d for d in reversed(before) if d.cause is not None), None)
    if known is None:
        return None
    return f"{who}: {reason}, after the difference of {known.symbol}".removeprefix(": ")
