"""Positions closed by a person: one, all, or those that nobody manages. Verified before it is reported as done.

A running session is asked and does it itself, at its last price; a session that does not run is brought to life for it,
without a feed. Start at `close` and `close_stale`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sigil_ext.db.connection import Database
from sigil_ext.db.heartbeat import Heartbeat
from sigil_ext.db.journal import Journal, RecordedSession
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.db.symbols import row_symbol
from sigil_ext.errors import LockHeld, SigilError, UsageError, hint
from sigil_ext.paper.conduct import Conduct
from sigil_ext.paper.feed import MINUTE_MS
from sigil_ext.paper.hosts import subject_of
from sigil_ext.paper.session import PaperSession
from sigil_ext.rules.symbols import to_jesse
from sigil_ext.rules.types import ExitReason, OpenPosition
from sigil_ext.services.database import open_database
from sigil_ext.services.paper import elsewhere
from sigil_ext.services.protections import actor
from sigil_ext.settings.overlays import load_variant
from sigil_ext.settings.project import find_project
from sigil_ext.settings.strategies import strategy_sessions

ASK_EVERY_S = 0.5
PATIENCE_S = 120.0
NO_PRICE = "no price is known, so its P&L is not known either"


@dataclass(frozen=True, slots=True)
class Closed:
    """What was done: a sentence of the session, and how many positions are open now, entered meanwhile or not asked for."""

    variant: str
    outcome: str
    still_open: int


@dataclass(frozen=True, slots=True)
class StaleClosed:
    """A row that nobody managed, the price at which it was closed, None where none is known, and where that is from."""

    position: OpenPosition
    price: float | None
    source: str


def close(
    variant: str, reason: str, *, symbol: str | None = None, exit_reason: ExitReason = "manual",
    patience_s: float = PATIENCE_S,
) -> Closed:  # fmt: skip
    """Close the position on `symbol`, or all of them, and return when the database shows it.

    Raises:
        UsageError: no reason, an unknown symbol, or positions that no session manages.
        SigilError: the session did not do it within `patience_s`, or something is still open.
    """
    if not reason.strip():
        raise UsageError("closing needs a reason, it is stored with the act: --reason '...'")
    database = open_database(variant)
    store, journal = PostgresStore(database), Journal(database)
    held = store.open_positions()
    if symbol is not None:
        symbol = _held_symbol(symbol, held, variant)
    if not held:
        return Closed(variant, "nothing was open", 0)
    recorded = journal.running()
    if recorded is None:
        raise UsageError(
            f"variant '{variant}' has {len(held)} open positions and no session that manages them; "
            f"close them with: sigil positions close --stale --variant {variant} --reason '...'"
        )
    number = journal.ask(
        "flatten" if symbol is None else "close", row_symbol(symbol) if symbol else None, exit_reason,
        actor=actor(), reason=reason.strip(),
    )  # fmt: skip
    outcome = _wait(database, journal, recorded, number, patience_s)
    asked = {(p.table, p.id) for p in held if symbol is None or p.symbol == symbol}
    now_open = store.open_positions()
    if left := [p for p in now_open if (p.table, p.id) in asked]:
        names = ", ".join(sorted({p.symbol for p in left}))
        raise SigilError(
            f"variant '{variant}': {outcome}; still open: {names}; no session manages them: "
            f"sigil positions close --stale --variant {variant} --reason '...'"
        )
    return Closed(variant, outcome, len(now_open))


def close_stale(
    variant: str, reason: str, *, prices: Mapping[str, float] | None = None, now: datetime | None = None
) -> list[StaleClosed]:
    """Close every open row that no session manages, at a price of `prices`, else the last recorded one.

    Where neither is there, nothing is made up: exit price and P&L stay empty.

    Args:
        prices: symbol -> USD, of symbols among those rows.
    Raises:
        UsageError: no reason is given, or `prices` names a symbol that is not among them.
        LockHeld: a session begins or ends at this moment.
    """
    if not reason.strip():
        raise UsageError("closing needs a reason, it is stored with the act: --reason '...'")
    reason, at = reason.strip(), now or datetime.now(UTC)
    database = open_database(variant)
    store, journal = PostgresStore(database), Journal(database)
    given = {_symbol(symbol): price for symbol, price in (prices or {}).items()}
    if variant in strategy_sessions(find_project()):
        return _give_up(database, journal, reason, at, given)
    with _nobody_begins(journal) as recorded:
        stale = _stale(store, journal, recorded)
        known = _known_prices(journal, stale, given, variant)
        rate = load_variant(variant).settings.costs.rate
        closed = []
        for position in stale:
            price, source = known[position.symbol]
            with database.one_transaction():
                store.hold(position.symbol)
                journal.hold_sessions()
                if _changed(journal, recorded):
                    raise LockHeld(f"the session of variant '{variant}' has ended or begun meanwhile; ask again")
                if (position.table, position.id) not in {(p.table, p.id) for p in _stale(store, journal, recorded)}:
                    continue
                _leave(store, journal, position, price, source, at, rate, reason)
            closed.append(StaleClosed(position, price, source))
        return closed


@contextlib.contextmanager
def _nobody_begins(journal: Journal) -> Iterator[RecordedSession | None]:
    """Yield the session that has not ended, and keep one from beginning, which would adopt what is closed meanwhile.

    Raises:
        LockHeld: one is beginning.
    """
    try:
        link = journal.lock()
    except LockHeld:
        recorded = journal.running()
        if recorded is None:
            raise
        yield recorded
        return
    try:
        yield journal.running()
    finally:
        link.close()


def _stale(store: PostgresStore, journal: Journal, recorded: RecordedSession | None) -> list[OpenPosition]:
    """Return the open rows that `recorded` does not manage. What it enters at this moment is not among them."""
    held = store.open_positions()  # before what it manages is read: an entry between the two is in the second only
    managed = _managed(journal, recorded) if recorded else set()
    return [p for p in held if (p.table, p.id) not in managed]


def _changed(journal: Journal, before: RecordedSession | None) -> bool:
    now = journal.running()
    return (now.id if now else None) != (before.id if before else None)


def _known_prices(
    journal: Journal, stale: Sequence[OpenPosition], given: Mapping[str, float], variant: str
) -> Mapping[str, tuple[float | None, str]]:
    symbols = {p.symbol for p in stale}
    if other := sorted(given.keys() - symbols):
        raise UsageError(
            f"--price names {other[0]}, but no open position of variant '{variant}' on it is without a session; "
            f"those are on: {', '.join(sorted(symbols)) or 'none'}"
        )
    recorded = _last_prices(journal) if symbols - given.keys() else {}
    found: dict[str, tuple[float | None, str]] = {s: recorded.get(s, (None, NO_PRICE)) for s in symbols}
    return found | {s: (price, "the price that was given") for s, price in given.items()}


def _leave(
    store: PostgresStore, journal: Journal, position: OpenPosition, price: float | None, source: str, at: datetime,
    rate: float, reason: str,
) -> None:  # fmt: skip
    """Close a row and note who asked for it, in the caller's transaction."""
    fees = won = None
    if price is not None:
        fees = abs(position.qty) * (position.entry_price + price) * rate
        won = position.qty * (price - position.entry_price) - fees
    store.close_found(position, at=at, price=price, reason="adopted_close", fees_usd=fees, pnl_usd=won)
    asked = journal.ask("close", row_symbol(position.symbol), "adopted_close", actor=actor(), reason=reason)
    where = f"{position.table} {position.id}"
    journal.done(
        journal.request(asked),
        f"closed {where}: {source}" if price is None else f"closed {where} at {price:.10g}: {source}",
    )


def _give_up(
    database: Database, journal: Journal, reason: str, at: datetime, given: Mapping[str, float]
) -> list[StaleClosed]:
    """Close what the session of a strategy holds without its code, which may be gone or fail, and end the session.

    Raises:
        LockHeld: the session runs; it can close its positions itself.
    """
    link = journal.lock()
    try:
        store, recorded = PostgresStore(database), journal.running()
        number = journal.last()
        newest = journal.session(number) if number is not None else None
        rate = (newest.strategy or {}).get("cost_rate", 0.0) if newest is not None else 0.0
        held = store.open_positions()
        known = _known_prices(journal, held, given, database.variant)
        with database.one_transaction():
            for position in held:
                price, source = known[position.symbol]
                _leave(store, journal, position, price, f"{source}, without the strategy", at, rate, reason)
            if recorded is not None:
                if all(price is not None for price, _ in known.values()):
                    _note_worth(journal, recorded)
                journal.end(recorded)
                Heartbeat(database).state("ended", session_id=recorded.id, feed=recorded.feed)
        return [StaleClosed(position, *known[position.symbol]) for position in held]
    finally:
        link.close()


def _note_worth(journal: Journal, recorded: RecordedSession) -> None:
    """Write what the wallet of a strategy is worth when everything is closed."""
    last = journal.last_minute(recorded)
    if recorded.cash is not None and last is not None:
        cash = recorded.cash + journal.realized(after=recorded.positions_after)
        journal.write_equity([(last + MINUTE_MS, cash, 0.0, 0)])


def _held_symbol(symbol: str, held: list[OpenPosition], variant: str) -> str:
    name = _symbol(symbol)
    names = {p.symbol for p in held}
    if name not in names:
        if not names:
            raise UsageError(f"variant '{variant}' holds no position")
        raise UsageError(f"variant '{variant}' holds no position on {name}; {hint(name, names, several=True)}")
    return name


def _symbol(symbol: str) -> str:
    try:
        return to_jesse(symbol)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _wait(database: Database, journal: Journal, recorded: RecordedSession, number: int, patience_s: float) -> str:
    """Wait until the session has done it; do it here if no session runs."""
    until = time.monotonic() + patience_s
    while (outcome := journal.outcome(number)) is None:
        if time.monotonic() > until:
            raise SigilError(
                f"the session of variant '{database.variant}' did not answer within {patience_s:.0f} s; "
                f"request {number} stays and is done when it runs again"
            )
        try:
            link = journal.lock()
        except LockHeld:
            time.sleep(ASK_EVERY_S)
            continue
        link.close()
        _obey_here(database, recorded)
    return outcome


def _obey_here(database: Database, recorded: RecordedSession) -> None:
    """Bring the session to its last recorded minute in this process and let it do what it was asked."""
    with elsewhere():
        variant = subject_of(database.variant, recorded)
        quiet = Conduct(feed=recorded.feed, patient=True, durable=True)
        session = PaperSession(variant, database, quiet)
        try:
            session.open(None)
        except LockHeld:
            return  # one was started at this moment; it will do it
        try:
            # Its exits are told as they would be live; that it was brought to life for them is not.
            session.conduct = replace(quiet, alerts=recorded.feed != "replay")
            session.obey_now()
            session.conduct = quiet
            session.stopped("a person closed positions")
        finally:
            session.close()
            session.host.host.close()


def _managed(journal: Journal, recorded: RecordedSession) -> set[tuple[str, int]]:
    own = {("micro_positions", number) for number in journal.entries(recorded).values()}
    return own | {(a["table"], a["id"]) for a in recorded.adopted}


def _last_prices(journal: Journal) -> Mapping[str, tuple[float, str]]:
    """Return symbol -> (close, when) of the last recorded candle of each symbol, of the newest session."""
    number = journal.last()
    recorded = journal.session(number) if number is not None else None
    if recorded is None:
        return {}
    found: dict[str, tuple[float, str]] = {}
    for symbol, rows in recorded.warmup.items():
        if len(rows):
            found[symbol] = (float(rows[-1][2]), "last candle before the session")
    for open_ms, candles in journal.minutes(recorded):
        at = datetime.fromtimestamp(open_ms / 1000 + 60, UTC)
        for symbol, row in candles.items():
            found[symbol] = (float(row[2]), f"last recorded candle, {at:%Y-%m-%d %H:%M} UTC")
    return found
