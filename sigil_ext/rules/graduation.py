"""The graduation gate: does what a variant did on paper let it go on? Pure; figures and intervals are made elsewhere.

Each criterion of `CRITERIA` says pass, fail or not_yet, and what is missing. A figure that falls short fails only once the
days and trades are there; before, it may still change. Start at `judge`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Outcome = Literal["pass", "fail", "not_yet"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its 95 % interval; low and high None where it has none."""

    value: float
    low: float | None = None
    high: float | None = None

    def excludes(self, threshold: float) -> bool:
        """Return whether the whole interval lies above `threshold`."""
        return self.low is not None and self.low > threshold


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What is asked for. Shares are 0..1."""

    days: float = 30.0
    trades: int = 30
    pnl_usd: float = 0.0
    win_rate: float = 0.5
    drift_share: float = 0.05
    audited_share: float = 0.95
    observed_share: float = 0.95
    hole_hours: float = 24.0
    downtime_trades_share: float = 0.05
    faulty_share: float = 0.01


@dataclass(frozen=True, slots=True)
class AuditFigures:
    """What the audits of the period found: trades that matched and that differ, failed audits by number.

    `drift_usd` is the P&L that paper shows beyond the backtest in trades that differ. `covered_share`, 0..1, is how much of
    the period was audited.
    """

    matched: int = 0
    differing: int = 0
    failed: tuple[int, ...] = ()
    covered_share: float = 0.0
    drift_usd: float = 0.0

    @property
    def drift_share(self) -> float | None:
        """Trades that differ of all that were compared; None where none was."""
        compared = self.matched + self.differing
        return self.differing / compared if compared else None


@dataclass(frozen=True, slots=True)
class DataFigures:
    """How the period was observed. Shares 0..1; `faulty` of the feed's events is a candle late, revised, lost or unreadable."""

    observed_share: float = 0.0
    longest_hole_hours: float = 0.0
    downtime_trades: int = 0
    faulty: int = 0
    candles: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a period on paper: live days, closed trades, P&L in USD after costs, the wallet's change, win rate."""

    days: float
    trades: int
    pnl: Interval
    marked_usd: float | None
    win_rate: Interval | None
    win_rate_needed: float | None
    audits: AuditFigures = field(default_factory=AuditFigures)
    data: DataFigures = field(default_factory=DataFigures)


@dataclass(frozen=True, slots=True)
class Criterion:
    """One line of the verdict. `missing` is empty where it passes; `sure`: the whole interval lies beyond the threshold."""

    name: str
    outcome: Outcome
    need: str
    had: str
    missing: str = ""
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict: fail if a criterion fails, else not_yet if one waits, else pass."""

    outcome: Outcome
    criteria: tuple[Criterion, ...]

    @property
    def sure(self) -> bool:
        """Return whether no interval reaches over its threshold."""
        return all(c.sure for c in self.criteria)

    @property
    def missing(self) -> tuple[str, ...]:
        """Return what is missing, a sentence a criterion that does not pass."""
        return tuple(c.missing for c in self.criteria if c.outcome != "pass")


def judge(evidence: Evidence, need: Thresholds | None = None) -> Verdict:
    """Return the verdict on `evidence`."""
    thresholds = need or Thresholds()
    criteria = tuple(rule(evidence, thresholds) for rule in CRITERIA.values())
    outcomes = {c.outcome for c in criteria}
    outcome: Outcome = "fail" if "fail" in outcomes else "not_yet" if "not_yet" in outcomes else "pass"
    return Verdict(outcome, criteria)


def _days(e: Evidence, need: Thresholds) -> Criterion:
    had = f"{e.days:.1f} days"
    if e.days >= need.days:
        return Criterion("days", "pass", f"{need.days:g} days live on paper", had)
    return Criterion(
        "days", "not_yet", f"{need.days:g} days live on paper", had, f"{need.days - e.days:.1f} more days on paper"
    )


def _trades(e: Evidence, need: Thresholds) -> Criterion:
    if e.trades >= need.trades:
        return Criterion("trades", "pass", f"{need.trades} closed trades", f"{e.trades}")
    missing = f"{need.trades - e.trades} more closed trades: fewer say nothing"
    return Criterion("trades", "not_yet", f"{need.trades} closed trades", f"{e.trades}", missing)


def _pnl(e: Evidence, need: Thresholds) -> Criterion:
    """Closed trades, the wallet with its open positions, and what is left without what only paper saw: all above."""
    checks = [("P&L of closed trades after costs", e.pnl.value)]
    if e.marked_usd is not None:
        checks.append(("change of the wallet with open positions marked", e.marked_usd))
    if e.audits.drift_usd > 0:
        checks.append(("P&L without what paper shows beyond the backtest", e.pnl.value - e.audits.drift_usd))
    short = [f"{what} is {_usd(value)}" for what, value in checks if not value > need.pnl_usd]
    return Criterion(
        "pnl", _so_far(e, need, not short), f"P&L above {_usd(need.pnl_usd)}", _usd(e.pnl.value), "; ".join(short),
        e.pnl.excludes(need.pnl_usd),
    )  # fmt: skip


def _win_rate(e: Evidence, need: Thresholds) -> Criterion:
    wanted = f"more than {need.win_rate:.0%} of trades won"
    if e.win_rate is None:
        return Criterion("win_rate", "not_yet", wanted, "no trade", "closed trades to count", False)
    enough = e.win_rate.value > need.win_rate
    missing = "" if enough else f"win rate is {e.win_rate.value:.1%}, not above {need.win_rate:.0%}"
    had = f"{e.win_rate.value:.1%}"
    if e.win_rate_needed is not None:
        had += f" (its payoff needs {e.win_rate_needed:.1%})"
    return Criterion("win_rate", _so_far(e, need, enough), wanted, had, missing, e.win_rate.excludes(need.win_rate))


def _audits(e: Evidence, need: Thresholds) -> Criterion:
    wanted = f"audits without an unexplained trade, of {need.audited_share:.0%} of the period"
    had = f"{e.audits.covered_share:.0%} audited, {len(e.audits.failed)} failed"
    if e.audits.failed:
        named = ", ".join(str(number) for number in e.audits.failed)
        missing = f"audit {named} found trades without a cause; a period with a failed audit never passes"
        return Criterion("audits", "fail", wanted, had, missing)
    if e.audits.covered_share >= need.audited_share:
        return Criterion("audits", "pass", wanted, had)
    return Criterion("audits", "not_yet", wanted, had, "an audit of the whole period: sigil audit")


def _drift(e: Evidence, need: Thresholds) -> Criterion:
    wanted = f"at most {need.drift_share:.0%} of trades differ from the backtest"
    share = e.audits.drift_share
    if share is None:
        return Criterion("drift", "not_yet", wanted, "no trade compared", "trades that an audit compared")
    had = f"{share:.1%} ({e.audits.differing} of {e.audits.matched + e.audits.differing})"
    enough = share <= need.drift_share
    missing = "" if enough else f"{share:.1%} of trades differ from the backtest, with causes (sigil audit names them)"
    return Criterion("drift", _so_far(e, need, enough), wanted, had, missing)


def _data(e: Evidence, need: Thresholds) -> Criterion:
    d = e.data
    wanted = f"{need.observed_share:.0%} of minutes seen live, no hole over {need.hole_hours:g} h"
    had = f"{d.observed_share:.1%} live, longest hole {d.longest_hole_hours:.1f} h"
    late = d.downtime_trades / e.trades if e.trades else 0.0
    faulty = d.faulty / d.candles if d.candles else 0.0
    short = []
    if d.observed_share < need.observed_share:
        short.append(f"only {d.observed_share:.1%} of the minutes were seen live")
    if d.longest_hole_hours > need.hole_hours:
        short.append(f"nothing was seen live for {d.longest_hole_hours:.1f} h on end")
    if late > need.downtime_trades_share:
        short.append(f"{d.downtime_trades} of {e.trades} trades were made on candles fetched after an outage")
    if faulty > need.faulty_share:
        short.append(f"{d.faulty} candles were late, revised, lost or unreadable, {faulty:.1%} of all")
    return Criterion("data", _so_far(e, need, not short), wanted, had, "; ".join(short))


def _so_far(e: Evidence, need: Thresholds, enough: bool) -> Outcome:
    if enough:
        return "pass"
    return "fail" if e.days >= need.days and e.trades >= need.trades else "not_yet"


def _usd(value: float) -> str:
    return f"{'-' if value < 0 else ''}${abs(value):,.2f}"


CRITERIA: Mapping[str, Callable[[Evidence, Thresholds], Criterion]] = MappingProxyType(
    {
        "days": _days,
        "trades": _trades,
        "pnl": _pnl,
        "win_rate": _win_rate,
        "audits": _audits,
        "drift": _drift,
        "data": _data,
    }
)
