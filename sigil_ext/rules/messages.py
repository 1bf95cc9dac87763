"""What people are told: one pure function an event, plain values in, (title, body) out.

Times are aware UTC datetimes, prices and USD in quote currency. The sender puts the variant before the title and the
number and time of the alert under the body. Start at `MESSAGES`, the index; docs/alerts.md says what to do about each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal, NamedTuple

Severity = Literal["info", "success", "warning", "failure"]


class Message(NamedTuple):
    """What is sent: a title of one line, and a body that may have several."""

    title: str
    body: str


# --- the session ------------------------------------------------------------------------------------------------------


def start(*, feed: str, symbols: int, equity_usd: float, open_positions: int, resumed: bool) -> Message:
    """A session begins, or goes on after a stop or a crash (`resumed`)."""
    verb = "goes on" if resumed else "begins"
    return Message(
        f"paper session {verb}",
        f"feed {feed}, {_many(symbols, 'symbol')}, equity {_usd(equity_usd)}, {_many(open_positions, 'open position')}",
    )


def stop(*, why: str, minutes: int, equity_usd: float, open_positions: int) -> Message:
    """A session stops. `minutes`: processed since its start."""
    held = f"{_many(open_positions, 'position')} stay open and unwatched" if open_positions else "nothing is open"
    return Message(f"paper session stopped: {why}", f"{minutes} minutes processed, equity {_usd(equity_usd)}; {held}")


# --- trades -----------------------------------------------------------------------------------------------------------


def entry(
    *, symbol: str, price: float, qty: float, notional_usd: float, stop_price: float, stop_pct: float, risk_usd: float,
    cap_bound: bool = False, downtime: bool = False,
) -> Message:  # fmt: skip
    """A position was opened. `cap_bound`: the size was cut to max_position_usd, which lowers the risk."""
    capped = " (size at its cap)" if cap_bound else ""
    return Message(
        f"entry {symbol} at {_price(price)}",
        f"{_qty(qty)} for {_usd(notional_usd)}, stop {_price(stop_price)} ({stop_pct:.2f} % below), "
        f"risk {_usd(risk_usd)}{capped}{_caught_up(downtime)}",
    )


def exit_(
    *, symbol: str, reason: str, entry_price: float, price: float, pnl_usd: float, r: float | None, held: timedelta,
    downtime: bool = False,
) -> Message:  # fmt: skip
    """A position was closed. `r`: P&L in units of the risk at entry, None where that is not known."""
    multiple = "" if r is None else f" ({r:+.2f} R)"
    return Message(
        f"exit {symbol} {reason} {_signed(pnl_usd)}",
        f"P&L {_signed(pnl_usd)}{multiple}, {_price(entry_price)} to {_price(price)}"
        f" ({(price / entry_price - 1) * 100:+.2f} %), held {lasting(held)}{_caught_up(downtime)}",
    )


def refused(*, since: datetime, until: datetime, counts: Mapping[str, int]) -> Message:
    """Entry signals that the guard refused in a period, by reason."""
    total = sum(counts.values())
    return Message(
        f"{_many(total, 'entry signal')} refused", f"{_clock(since)} to {_clock(until)} UTC: {_counted(counts)}"
    )


# --- protections and breaker ------------------------------------------------------------------------------------------


def protection(*, symbol: str, until: datetime, reason: str) -> Message:
    """A symbol rests until `until`."""
    return Message(f"{symbol} rests until {_clock(until)} UTC", f"cooldown: {reason}")


def ban(*, symbol: str, until: datetime, violations: int, reason: str = "hard stop") -> Message:
    """A symbol is banned until `until`."""
    return Message(
        f"{symbol} is banned until {_clock(until)} UTC", f"{reason}; {_many(violations, 'violation')} on its count"
    )


def breaker(*, reason: str, by: str) -> Message:
    """The breaker tripped: no entries until a person resets it."""
    return Message(f"breaker tripped: {reason}", f"by {by}; entries are blocked until a person resets it, exits go on")


# --- the market and the machinery -------------------------------------------------------------------------------------


def scan_empty(*, at: datetime, pool: int, reasons: Mapping[str, int]) -> Message:
    """A scan left no symbol that may be entered. `reasons`: rejects by reason."""
    return Message(
        "the scan left no symbol to enter",
        f"{_clock(at)} UTC, {_many(pool, 'symbol')} in the pool: {_counted(reasons)}",
    )


def scan_filled(*, at: datetime, pool: int, accepted: int, since: datetime) -> Message:
    """A scan left symbols that may be entered, after scans since `since` that left none."""
    return Message(
        "the scan has symbols to enter again",
        f"{_clock(at)} UTC, {accepted} of {_many(pool, 'symbol')} in the pool; none since {_clock(since)} UTC",
    )


def stale_symbol(*, symbol: str, last_candle: datetime | None, now: datetime) -> Message:
    """No candle of a symbol for too long: its entries are blocked."""
    seen = (
        f"last candle {_clock(last_candle)} UTC, {lasting(now - last_candle)} ago" if last_candle else "no candle yet"
    )
    return Message(f"{symbol} is stale", f"{seen}; its entries are blocked, an open position keeps its stop")


def feed_lost(*, feed: str, detail: str) -> Message:
    """No candles come in any more."""
    return Message(f"feed {feed} lost", f"{detail}; missed minutes are fetched when it is back")


def feed_back(*, feed: str, since: datetime, until: datetime, missed: int) -> Message:
    """Candles come in again. `missed`: minutes that had to be fetched."""
    return Message(
        f"feed {feed} is back", f"gone for {lasting(until - since)}, {_many(missed, 'missed minute')} fetched"
    )


def database_lost(*, detail: str) -> Message:
    """The database does not answer: no entry without a durable row."""
    return Message("database lost", f"{detail}; no entries until it is back, exits are tracked and written then")


def database_back(*, since: datetime, until: datetime, detail: str = "") -> Message:
    """The database answers again."""
    why = f"; it was: {detail}" if detail else ""
    return Message("database is back", f"lost at {_clock(since)} UTC for {lasting(until - since)}{why}")


def audit(
    *, since: datetime, until: datetime, matched: int, paper_only: int, backtest_only: int, differing: int,
    unexplained: int,
) -> Message:  # fmt: skip
    """What the replay of a paper period as a backtest found."""
    found = paper_only + backtest_only + differing
    title = "audit clean" if not found else f"audit: {_many(found, 'difference')}, {unexplained} without a known cause"
    return Message(
        title,
        f"{_clock(since)} to {_clock(until)} UTC: {matched} matched, {paper_only} paper only, "
        f"{backtest_only} backtest only, {differing} differing",
    )


def probe(*, findings: Sequence[str], tripped: bool) -> Message:
    """The probe found a variant that does not work any more. `tripped`: its breaker was tripped for that."""
    first = findings[0] if findings else "nothing"
    more = f" and {len(findings) - 1} more" if len(findings) > 1 else ""
    after = "breaker tripped: entries are blocked until a person resets it" if tripped else "breaker not tripped"
    return Message(f"probe: {first}{more}", "\n".join([*findings, after]))


def daily_summary(
    *, day: date, trades: int, pnl_usd: float, by_reason: Mapping[str, tuple[int, float]], entries: int,
    refusals: Mapping[str, int], open_positions: Sequence[str], equity_usd: float | None, equity_before_usd: float | None,
) -> Message:  # fmt: skip
    """A UTC day in one message. `by_reason`: exit reason -> (trades, P&L); equity is None where none was recorded."""
    lines = [f"closed {_many(trades, 'trade')}, P&L {_signed(pnl_usd)}; {_many(entries, 'entry', 'entries')}"]
    lines += [f"  {reason}: {count}, {_signed(pnl)}" for reason, (count, pnl) in sorted(by_reason.items())]
    lines.append(f"refused signals: {_counted(refusals)}")
    lines.append(f"open at the end: {', '.join(open_positions) or 'none'}")
    if equity_usd is not None:
        change = "" if equity_before_usd is None else f" ({_signed(equity_usd - equity_before_usd)})"
        lines.append(f"equity {_usd(equity_usd)}{change}")
    return Message(f"{day:%Y-%m-%d}: {_many(trades, 'trade')}, {_signed(pnl_usd)}", "\n".join(lines))


def test() -> Message:
    """A person tries the channels."""
    return Message("test", "This is a test of the alerts, sent by a person. Nothing is wrong.")


MESSAGES: dict[str, tuple[Callable[..., Message], Severity]] = {
    "start": (start, "info"),
    "stop": (stop, "warning"),
    "entry": (entry, "info"),
    "exit": (exit_, "info"),
    "refused": (refused, "info"),
    "protection": (protection, "info"),
    "ban": (ban, "warning"),
    "breaker": (breaker, "failure"),
    "scan_empty": (scan_empty, "warning"),
    "stale_symbol": (stale_symbol, "warning"),
    "feed_lost": (feed_lost, "failure"),
    "feed_back": (feed_back, "success"),
    "database_lost": (database_lost, "failure"),
    "database_back": (database_back, "success"),
    "audit": (audit, "info"),
    "probe": (probe, "failure"),
    "daily_summary": (daily_summary, "info"),
    "test": (test, "info"),
}
"""Every event that is alerted on: its words, and how bad it is. Channels that have colours show the latter."""

EVENTS = tuple(MESSAGES)


def lasting(span: timedelta) -> str:
    """Return a length of time in words: 45 s, 12 min, 3 h 05 min, 2 d 4 h."""
    seconds = max(0, int(span.total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 120:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h {minutes % 60:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def _counted(counts: Mapping[str, int]) -> str:
    ordered = sorted((item for item in counts.items() if item[1]), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{reason} {count}" for reason, count in ordered) or "none"


def _many(count: int, one: str, several: str | None = None) -> str:
    return f"{count} {one if count == 1 else several or one + 's'}"


def _caught_up(downtime: bool) -> str:
    return "; on candles fetched after an outage" if downtime else ""


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"


def _usd(amount: float) -> str:
    return f"${amount:,.2f}"


def _signed(amount: float) -> str:
    cents = round(amount, 2)
    return f"{'-' if cents < 0 else '+'}${abs(cents):,.2f}"


def _price(price: float) -> str:
    return f"{Decimal(f'{price:.8g}'):f}"  # never 1.2e-05


_qty = _price
