"""Positions closed by a person: one, all, or those that nobody manages. Verified before it is reported as done.

A running session is asked and does it itself, at its last price; a session that does not run is brought to life for it,
without a feed. Start at `close` and `close_stale`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sigil_ext.db.connection import Database
from sigil_ext.db.heartbeat import Heartbeat
from sigil_ext.db.journal import Journal, RecordedSession
from sigil_ext.db.postgres_store import PostgresStore, row_symbol
from sigil_ext.db.strategy_store import Left, StrategyStore
from sigil_ext.errors import LockHeld, SigilError, UnknownSymbol, UsageError
from sigil_ext.paper.hosts import subject_of
from sigil_ext.paper.session import Conduct, PaperSession
from sigil_ext.rules.symbols import to_jesse
from sigil_ext.rules.types import Exit, ExitReason, OpenPosition
from sigil_ext.services.database import open_database
from sigil_ext.services.paper import elsewhere
from sigil_ext.services.protections import actor
from sigil_ext.settings.models import VariantSettings
from sigil_ext.settings.overlays import load_variant
from sigil_ext.settings.project import find_project
from sigil_ext.settings.strategies import strategy_sessions

ASK_EVERY_S = 0.5
PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Closed:
    """What was done: a sentence of the session, and how many positions are open now, entered meanwhile or not asked for."""

    variant: str
    outcome: str
    still_open: int


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


def close_stale(variant: str, reason: str, *, now: datetime | None = None) -> list[tuple[OpenPosition, float, str]]:
    """Close every open row that no session manages; return (position, price, where the price is from).

    Raises:
        UsageError: no reason is given.
    """
    if not reason.strip():
        raise UsageError("closing needs a reason, it is stored with the act: --reason '...'")
    database = open_database(variant)
    store, journal = PostgresStore(database), Journal(database)
    recorded = journal.running()
    if variant in strategy_sessions(find_project()):
        return _give_up(database, journal, reason.strip(), now or datetime.now(UTC))
    managed = _managed(journal, recorded) if recorded else set()
    prices = _last_prices(journal)
    settings = load_variant(variant).settings
    at = now or datetime.now(UTC)
    closed = []
    for position in store.open_positions():
        if (position.table, position.id) in managed:
            continue
        price, source = prices.get(position.symbol) or (position.entry_price, "no price known, closed at its entry")
        with database.one_transaction():
            store.close(_exit(position, price, at, settings), settings.ban)
            number = journal.ask(
                "close", row_symbol(position.symbol), "adopted_close", actor=actor(), reason=reason.strip()
            )
            journal.done(journal.request(number), f"closed {position.table} {position.id} at {price:.10g}: {source}")
        closed.append((position, price, source))
    return closed


def _give_up(database: Database, journal: Journal, reason: str, at: datetime) -> list[tuple[OpenPosition, float, str]]:
    """Close what the session of a strategy holds without its code, which may be gone or fail, and end the session.

    Raises:
        LockHeld: the session runs; it can close its positions itself.
    """
    link = journal.lock()
    try:
        store, prices = StrategyStore(database), _last_prices(journal)
        number = journal.last()
        newest = journal.session(number) if number is not None else None
        rate = (newest.strategy or {}).get("cost_rate", 0.0) if newest is not None else 0.0
        closed = []
        with database.one_transaction():
            for position in store.open_positions():
                price, source = prices.get(position.symbol) or (
                    position.entry_price,
                    "no price known, closed at its entry",
                )
                fees = abs(position.qty) * (position.entry_price + price) * rate
                won = position.qty * (price - position.entry_price) - fees
                store.left(
                    Left(position.id, at, position.entry_price, price, position.qty, "adopted_close", fees, won, reason)
                )
                asked = journal.ask("close", row_symbol(position.symbol), "adopted_close", actor=actor(), reason=reason)
                journal.done(journal.request(asked), f"closed at {price:.10g} without the strategy: {source}")
                closed.append((position, price, source))
            store.drain()
            if recorded := journal.running():
                journal.end(recorded)
                Heartbeat(database).state("ended", session_id=recorded.id, feed=recorded.feed)
        return closed
    finally:
        link.close()


def _exit(position: OpenPosition, price: float, at: datetime, settings: VariantSettings) -> Exit:
    rate = settings.costs.rate
    paid, received = position.qty * position.entry_price, position.qty * price
    fees = (paid + received) * rate
    return Exit(position.id, position.symbol, at, price, "adopted_close", fees, received - paid - fees)


def _held_symbol(symbol: str, held: list[OpenPosition], variant: str) -> str:
    try:
        name = to_jesse(symbol)
    except ValueError as error:
        raise UsageError(str(error)) from None
    names = {p.symbol for p in held}
    if name not in names:
        if not names:
            raise UsageError(f"variant '{variant}' holds no position")
        raise UnknownSymbol(symbol, names)
    return name


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
