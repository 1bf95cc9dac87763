"""Paper against backtest: which trades match, which do not, and why. Pure. Start at `compare`.

A difference may bring about others: while its position is held on one side only, while a rest or a ban that followed from it
lasts, and by the money that it made or cost. `Consequences` says how far that reaches; beyond it nothing is explained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

Kind = Literal["paper_only", "backtest_only", "differs"]
Side = Literal["paper", "backtest"]
FOLLOWS = frozenset({"position_open", "cooldown", "ban", "max_open_positions", "not_enough_cash", "not_in_universe"})
MONEY_TOLERANCE = 0.01  # costs are not part of what a position took
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


@dataclass(frozen=True, slots=True)
class Reach:
    """How far one trade reaches to others, by the settings of the session. Times in ms."""

    cooldown_ms: int = 0
    cooldown_from: Literal["open", "close"] = "open"
    ban_ms: int = 0
    """From a hard stop on: as long as it counts, and the longest ban that can follow then."""
    scan_ms: int = 0
    """A universe stands so long."""
    min_notional_usd: float = 0.0
    by_equity: bool = False
    """Sizes are a share of equity, so that any difference of money changes each of them."""


def compare(
    paper: Sequence[AuditTrade],
    backtest: Sequence[AuditTrade],
    *,
    closed_by_hand: Mapping[tuple[str, int], str],
    paper_refused: Mapping[tuple[str, int], str],
    backtest_refused: Mapping[tuple[str, int], str],
    found: Sequence[AuditTrade] = (),
    adopted: Sequence[AuditTrade] = (),
    reach: Reach = Reach(),
    since_ms: int = 0,
) -> Comparison:
    """Compare trade by trade, to the last float.

    Args:
        closed_by_hand: (symbol, opened ms) -> exit reason of positions that a person closed.
        paper_refused, backtest_refused: (symbol, ms) -> reason of entry signals that were refused there.
        found, adopted: positions that were open when the session began, of which the backtest knows nothing: those that it
            left alone, and those that it followed.
        reach: how far a difference can be the cause of another one.
        since_ms: trades opened before are no part of the result, but may be the cause of what is.
    """
    ours = {(t.symbol, t.opened_at_ms): t for t in paper}
    theirs = {(t.symbol, t.opened_at_ms): t for t in backtest}
    differences: list[Difference] = []
    follows = Consequences(reach, found, adopted)
    matched = 0
    for key in sorted(ours.keys() | theirs.keys(), key=lambda k: (k[1], k[0])):
        mine, other = ours.get(key), theirs.get(key)
        if mine is not None and other is not None:
            fields = {
                f: (getattr(mine, f), getattr(other, f)) for f in COMPARED if getattr(mine, f) != getattr(other, f)
            }
            if not fields:
                matched += key[1] >= since_ms
                continue
            found_out = Difference(
                "differs", *key, _of_both(mine, other, fields, closed_by_hand.get(key), follows), fields
            )
        elif mine is not None:
            found_out = Difference("paper_only", *key, follows.refusal(backtest_refused.get(key), "backtest", mine))
        else:
            assert other is not None
            found_out = Difference("backtest_only", *key, follows.refusal(paper_refused.get(key), "paper", other))
        if key[1] >= since_ms:
            differences.append(found_out)
        if found_out.cause is not None:
            follows.known.append(_Known(mine, other))
    return Comparison(matched, tuple(differences))


def _of_both(
    mine: AuditTrade, other: AuditTrade, fields: Mapping[str, Any], by_hand: str | None, follows: Consequences
) -> str | None:
    """Return why a trade that both made is not the same in both."""
    if "entry_price" in fields:
        return None
    size = follows.size(mine, other) if "qty" in fields else None
    if "qty" in fields and size is None:
        return None
    if by_hand:
        return f"closed by a person ({by_hand})"
    return size if fields.keys() <= {"qty", "pnl_usd"} else None


class _Known(NamedTuple):
    """An explained difference, or a position found at the start: what each side has of it."""

    paper: AuditTrade | None
    backtest: AuditTrade | None
    found: bool = False
    paid_before: bool = False

    @property
    def symbol(self) -> str:
        trade = self.paper or self.backtest
        assert trade is not None
        return trade.symbol

    def of(self, side: Side) -> AuditTrade | None:
        return self.paper if side == "paper" else self.backtest


class Consequences:
    """What follows from the differences whose cause is known, and from what was open at the start."""

    def __init__(self, reach: Reach, found: Sequence[AuditTrade], adopted: Sequence[AuditTrade]) -> None:
        self.reach = reach
        self.known = [_Known(t, None, found=True) for t in found]
        self.known += [_Known(t, None, found=True, paid_before=True) for t in adopted]

    def refusal(self, reason: str | None, side: Side, made: AuditTrade) -> str | None:
        """Return why `side` refused for `reason` what the other side `made`; None where nothing explains it."""
        who = "paper refused it" if side == "paper" else "the backtest refused it"
        if reason == "database_lost":
            return f"{who}: the database was lost"
        if reason not in FOLLOWS:
            return None
        if reason == "not_enough_cash":
            short = self._money(made.opened_at_ms) * (-1 if side == "paper" else 1)
            needed = _cost(made) * (1 - MONEY_TOLERANCE) - self.reach.min_notional_usd
            if not (short > 0 and short > needed):
                return None
            cause = next((k for k in reversed(self.known) if self._worth(k, made.opened_at_ms)), None)
        else:
            cause = next((k for k in reversed(self.known) if self._bars(k, reason, side, made)), None)
        if cause is None:
            return None
        if cause.found:
            return f"{who}: {reason}; positions open at the start count there"
        return f"{who}: {reason}, after the difference of {cause.symbol}"

    def size(self, mine: AuditTrade, other: AuditTrade) -> str | None:
        """Return why a trade is larger on one side: by no more than the money that the side has more."""
        at, apart = mine.opened_at_ms, (mine.qty - other.qty) * mine.entry_price
        net = self._money(at)
        if self.reach.by_equity:
            enough = abs(apart) <= sum(abs(self._worth(k, at)) for k in self.known) * (1 + MONEY_TOLERANCE)
        else:
            enough = apart * net > 0 and abs(apart) <= abs(net) * (1 + MONEY_TOLERANCE)
        cause = next((k for k in reversed(self.known) if self._worth(k, at)), None)
        return f"not_enough_cash, after the difference of {cause.symbol}" if enough and cause is not None else None

    def _bars(self, known: _Known, reason: str, side: Side, made: AuditTrade) -> bool:
        """Return whether what is known bars `side`, and not the other one, from what was made there."""
        at, same = made.opened_at_ms, known.symbol == made.symbol
        mine, other = known.of(side), known.of("backtest" if side == "paper" else "paper")
        match reason:
            case "position_open":
                return same and _held(mine, at, at)
            case "max_open_positions":
                return _held(mine, at, at) and not (_held(other, at, at) and not _ends(other, at))
            case "cooldown":
                return same and self._rests(mine, at) and not self._rests(other, at)
            case "ban":
                return same and self._banned(mine, other, at)
            case _:  # not_in_universe: places and bans of any symbol, when the universe that stands was scanned
                since = at - self.reach.scan_ms
                return (
                    _apart(known.paper, known.backtest, since, at)
                    or self._banned(mine, other, at)
                    or self._banned(other, mine, at)
                )

    def _rests(self, trade: AuditTrade | None, at: int) -> bool:
        begins = (
            None if trade is None else trade.opened_at_ms if self.reach.cooldown_from == "open" else trade.closed_at_ms
        )
        return begins is not None and begins <= at < begins + self.reach.cooldown_ms

    def _banned(self, trade: AuditTrade | None, other: AuditTrade | None, at: int) -> bool:
        """Return whether a hard stop that only one side had may still count, and bar its symbol, at `at`."""
        if trade is None or trade.exit_reason != "hard_stop" or trade.closed_at_ms is None:
            return False
        if other is not None and (other.exit_reason, other.closed_at_ms) == (trade.exit_reason, trade.closed_at_ms):
            return False
        return trade.closed_at_ms <= at < trade.closed_at_ms + self.reach.ban_ms

    def _money(self, at: int) -> float:
        """Return how much more cash paper has than the backtest at `at`, by all that is known, USD."""
        return sum(self._worth(k, at) for k in self.known)

    def _worth(self, known: _Known, at: int) -> float:
        if known.found and not known.paid_before:
            return 0.0
        back = _cost(known.paper) if known.paid_before and known.paper else 0.0
        return _cash(known.paper, at) + back - _cash(known.backtest, at)


def _cost(trade: AuditTrade) -> float:
    return abs(trade.qty) * trade.entry_price


def _cash(trade: AuditTrade | None, at: int) -> float:
    """Return what a trade has added to the cash until `at`: what it took while it is open, then what it brought."""
    if trade is None or trade.opened_at_ms > at:
        return 0.0
    if trade.closed_at_ms is None or trade.closed_at_ms > at:
        return -_cost(trade)
    return trade.pnl_usd or 0.0


def _held(trade: AuditTrade | None, since: int, until: int) -> bool:
    if trade is None or trade.opened_at_ms > until:
        return False
    return trade.closed_at_ms is None or trade.closed_at_ms >= since


def _ends(trade: AuditTrade | None, at: int) -> bool:
    return trade is not None and trade.closed_at_ms == at


def _apart(paper: AuditTrade | None, backtest: AuditTrade | None, since: int, until: int) -> bool:
    """Return whether only one side held the position at some time between `since` and `until`."""
    if paper is None or backtest is None:
        return _held(paper or backtest, since, until)
    if paper.closed_at_ms == backtest.closed_at_ms:
        return False
    ends = [t.closed_at_ms for t in (paper, backtest) if t.closed_at_ms is not None]
    return min(ends) <= until and (len(ends) < 2 or max(ends) >= since)
