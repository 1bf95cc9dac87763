"""What a paper session runs, a variant or a strategy of the user's own: its host, its memory, what the record says of it.

The one place where the two differ for the session. Start at `new_host`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import structlog
from numpy import float64
from numpy.typing import NDArray

from sigil_ext.bridge.adopted import Adopted, adopt, as_record, reconciled_cash
from sigil_ext.bridge.candle_book import Row
from sigil_ext.bridge.host import Host
from sigil_ext.bridge.paper_host import Ended, PaperHost
from sigil_ext.bridge.paper_strategy import PaperStrategy, find_strategy, from_document
from sigil_ext.bridge.records import Trade
from sigil_ext.bridge.strategy_host import StrategyHost
from sigil_ext.db import strategy_store
from sigil_ext.db.journal import Journal, RecordedSession
from sigil_ext.db.minute_store import MinuteStore
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.db.strategy_store import StrategyStore
from sigil_ext.errors import UsageError
from sigil_ext.rules.symbols import to_jesse
from sigil_ext.rules.types import ExitReason
from sigil_ext.settings.overlays import Variant, flatten, merge

Subject = Variant | PaperStrategy

log = structlog.get_logger("sigil.paper")


class SessionHost(Protocol):
    """What a session asks of the host that it feeds."""

    host: Host
    refused: str | None

    @property
    def trades(self) -> list[Trade]: ...
    def minute(self, open_ms: int, candles: Mapping[str, Row]) -> list[Ended]: ...
    def close(self, symbol: str, reason: ExitReason) -> Ended | None: ...
    def finish(self) -> list[Ended]: ...
    def held(self) -> Mapping[str, int]: ...
    def found(self) -> Sequence[str]: ...
    def worth(self) -> tuple[float, float, int]: ...
    def save(self) -> bytes | None: ...


def bar_minutes(subject: Subject) -> int:
    """Return how long the bar lasts on which `subject` decides."""
    return subject.settings.signal_minutes if isinstance(subject, Variant) else subject.signal_minutes


def subject_of(name: str, recorded: RecordedSession) -> Subject:
    """Return what a recorded session runs. The code of a strategy is read as it is now. Imports Jesse for one.

    Raises:
        UsageError: the strategy's code cannot be loaded any more.
    """
    if not recorded.strategy:
        return merge(name, [("session", dict(recorded.settings))])
    before = from_document(name, recorded.strategy)
    return find_strategy(name, before.run, before.folder)


def new_host(subject: Subject, journal: Journal, recorded: RecordedSession, packed: bytes | None) -> SessionHost:
    """Return a host at the state of a checkpoint, or at the start of the record, to be fed the minutes since."""
    if isinstance(subject, PaperStrategy):
        return StrategyHost(
            subject, recorded.symbols, recorded.start_ms, recorded.warmup,
            strategy_store.rows_of(journal.database, recorded), strategy_store.refused_of(journal.database, recorded),
            trades_from_ms=recorded.trades_from_ms, packed=packed,
        )  # fmt: skip
    entries = {(to_jesse(s), at): number for (s, at), number in journal.entries(recorded).items()}
    return PaperHost(
        subject, recorded.symbols, recorded.start_ms, recorded.warmup, entries, journal.scans(recorded),
        trades_from_ms=recorded.trades_from_ms, cash=recorded.cash, adopted=recorded.adopted, packed=packed,
    )  # fmt: skip


def go_live(host: SessionHost, journal: Journal) -> MinuteStore:
    """End the rebuild of `host`; return the memory that it writes to from here on."""
    if isinstance(host, StrategyHost):
        store = StrategyStore(journal.database)
        host.live(store)
        return store
    assert isinstance(host, PaperHost)
    minutes = MinuteStore(journal.database)
    host.live(minutes)
    return minutes


def begin(
    subject: Subject, journal: Journal, symbols: Sequence[str], start_ms: int, warmup: Mapping[str, NDArray[float64]], *,
    feed: str, trades_from_ms: int | None,
) -> RecordedSession:  # fmt: skip
    """Record a new session: what a variant finds open is adopted, and its cash follows from all that was closed before.

    Raises:
        UsageError: a strategy's database holds open positions, which it could know nothing of.
    """
    held = PostgresStore(journal.database).open_positions()
    if isinstance(subject, PaperStrategy):
        if held:
            raise UsageError(
                f"the database of '{subject.name}' holds {len(held)} open positions that no session manages; close them "
                f"with: sigil positions close --stale --variant {subject.name} --reason '...'"
            )
        known = subject.document() | {"signals_after": strategy_store.last_signal(journal.database)}
        return journal.begin(
            {}, sorted(symbols), start_ms, warmup, feed=feed, trades_from_ms=trades_from_ms,
            cash=subject.run.starting_balance, strategy=known,
        )  # fmt: skip
    settings = subject.settings
    found: dict[str, Adopted] = {}
    for position in held:
        if position.symbol in symbols and position.symbol not in found:
            found[position.symbol] = adopt(position, settings)
            log.info(
                "adopted", symbol=position.symbol, stop=found[position.symbol].stop, opened=str(position.opened_at)
            )
        else:
            log.warning("not adopted", symbol=position.symbol, position=position.id, table=position.table,
                        way_out="sigil positions close --stale")  # fmt: skip
    cash = reconciled_cash(
        settings.sizing.starting_balance, journal.realized(), list(found.values()), settings.costs.rate
    )
    return journal.begin(
        flatten(settings), sorted(symbols), start_ms, warmup, feed=feed,
        trades_from_ms=trades_from_ms, cash=cash, adopted=[as_record(a) for a in found.values()],
    )  # fmt: skip


def same_subject(subject: Subject, session: RecordedSession) -> None:
    """Refuse to go on with anything else than what the session was begun with.

    Raises:
        UsageError: other settings, another strategy, other code of it.
    """
    if isinstance(subject, Variant):
        now: dict[str, Any] = flatten(subject.settings)
        before, what = session.settings, "settings"
    else:
        now, before, what = subject.document(), session.strategy or {}, "options"
        if now["code"] != before.get("code", now["code"]):
            raise UsageError(
                f"the code of {now['path']} has changed since the paper session '{subject.name}' was begun; "
                "put it back, or end the session with --restart to begin a new one"
            )
    other = sorted(path for path in now if path != "folder" and before.get(path) != now[path])
    if other:
        raise UsageError(
            f"the paper session of variant '{subject.name}' was begun with other {what}: {', '.join(other)}; "
            "run it with those, or end it with --restart to begin a new one"
        )
