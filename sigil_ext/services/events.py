"""What happens, as a stream with numbers: one look a second at each variant's tables, for all listeners together.

A `Stream` numbers events from 1 on and keeps the newest `KEPT`, so that whoever missed some sees the gap and fetches it. The
numbers belong to the stream's `name`, which is new with each process: a listener that meets another name begins anew. The
databases are the record, a stream is none: what happened while nobody looked is read from the API.

`Watch` finds what is new in one database; `Stream` numbers, keeps and hands out. Neither knows of sockets.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from pydantic_core import to_json

from sigil_ext.db.connection import Database
from sigil_ext.db.heartbeat import Heartbeat
from sigil_ext.db.panel import looked
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.db.symbols import store_symbol
from sigil_ext.services.event_marks import Mark

KEPT = 10_000
MOST_AT_ONCE = 1000
BEHIND = 1000  # numbers before the end of a table that a stream asks for again when it begins
_TABLES = ("signals", "protections", "acts", "requests", "scans", "alerts", "audits", "probes", "positions")
_TABLE_OF = dict(
    zip(("signal", "protection", "act", "request", "scan", "alert", "audit", "probe"), _TABLES[:-1], strict=True)
)
_POSITION = (
    "id", "symbol", "status", "opened_at", "closed_at", "entry_price", "exit_price", "qty", "stop_price", "trail_armed",
    "exit_reason", "pnl_usd",
)  # fmt: skip
KINDS = (
    *_TABLE_OF,
    "position_opened",
    "position_changed",
    "position_closed",
    "equity",
    "breaker",
    "heartbeat",
    "variant",
)


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that happened to a variant, before it has a number."""

    variant: str
    kind: str
    at: datetime
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, and its number in the stream."""

    seq: int
    variant: str
    kind: str
    at: datetime
    data: dict[str, Any]

    def text(self) -> str:
        """Return everything but the number as the inside of a JSON object."""
        body = {"variant": self.variant, "kind": self.kind, "at": self.at, "data": self.data}
        return to_json(body, inf_nan_mode="null").decode()[1:-1]


Listener = Callable[[Event, str], None]


@dataclass(frozen=True, slots=True)
class _Here:
    """Where the tables of a database end, and which transactions run there."""

    ends: dict[str, int]
    oldest_running: int
    next_transaction: int
    equity_at: datetime | None

    @classmethod
    def of(cls, database: Database) -> _Here:
        *ends, oldest_running, next_transaction, equity_at = looked(database, "here")[0]
        return cls(dict(zip(_TABLES, ends, strict=True)), oldest_running, next_transaction, equity_at)


class Watch:
    """Finds what is new in one variant's database since the last look. The first look only notes where the tables end.

    Each row is found once, also if its transaction committed after others that have higher numbers.
    """

    def __init__(self) -> None:
        self._marks: dict[str, Mark] = {}
        self._positions: dict[int, tuple[Any, ...]] = {}
        self._equity_at: datetime | None = None
        self._state: tuple[Any, Any] | None = None

    def look(self, database: Database) -> list[Happened]:
        """Return what happened since the last look, in one transaction; at most about `MOST_AT_ONCE` rows of a kind.

        A look that fails leaves everything for the next one.
        """
        before = self._marks, self._positions, self._equity_at, self._state
        self._marks = dict(self._marks)
        try:
            with database.one_transaction():
                here = _Here.of(database)
                if not self._marks or self._is_another(here):
                    self._begin(database, here)
                    return []
                now_s = time.monotonic()
                for name, mark in self._marks.items():
                    self._marks[name] = mark.dated(here.next_transaction, now_s)
                return [
                    *self._rows(database, here, now_s),
                    *self._changed_positions(database, here, now_s),
                    *self._equity(database),
                    *self._standing(database),
                ]
        except BaseException:
            self._marks, self._positions, self._equity_at, self._state = before
            raise

    def passed_over(self, table: str) -> int:
        """Return how many stretches of numbers of a table may still come."""
        return len(self._marks[table].gaps)

    def _is_another(self, here: _Here) -> bool:
        """Return whether a table ends before the mark: somebody put another database in the place of the old one."""
        return any(here.ends[name] < self._marks[name].last for name in _TABLE_OF.values())

    def _begin(self, database: Database, here: _Here) -> None:
        starts = {name: max(end - BEHIND, 0) for name, end in here.ends.items()}
        known: dict[str, list[int]] = {name: [] for name in starts}
        for name, number in looked(database, "known", **starts):
            known[name].append(number)
        held = looked(database, "positions", variant=database.variant, watched=[])
        self._positions = {row[0]: row for row in held}
        known["positions"] += [number for number in self._positions if number > starts["positions"]]
        self._marks = {name: Mark(start).read(known[name]) for name, start in starts.items()}
        self._equity_at = here.equity_at
        self._state = _state(database)

    def _rows(self, database: Database, here: _Here, now_s: float) -> list[Happened]:
        found = []
        numbers: dict[str, list[int]] = {name: [] for name in _TABLE_OF.values()}
        unread = {name: self._marks[name].unread() for name in numbers}
        rows = looked(database, "since", **unread, limit=MOST_AT_ONCE)
        for kind, key, at, data in rows:
            numbers[_TABLE_OF[kind]].append(key)
            if data.get("symbol"):
                data["symbol"] = store_symbol(data["symbol"])
            for field_name in data.keys() & {"expires_at", "ban_until"}:
                if data[field_name] is not None:
                    data[field_name] = data[field_name].replace("+00:00", "Z")
            found.append(Happened(database.variant, kind, at, data))
        for name, read in numbers.items():
            self._read(name, read, here, now_s, all_of_them=len(rows) < MOST_AT_ONCE)
        return found

    def _read(self, name: str, numbers: Iterable[int], here: _Here, now_s: float, *, all_of_them: bool) -> None:
        mark = self._marks[name].read(numbers)
        self._marks[name] = mark.settled(here.oldest_running, now_s) if all_of_them else mark

    def _changed_positions(self, database: Database, here: _Here, now_s: float) -> list[Happened]:
        fresh = looked(
            database, "new_positions", variant=database.variant, positions=self._marks["positions"].unread(),
            limit=MOST_AT_ONCE,
        )  # fmt: skip
        seen = looked(database, "positions", variant=database.variant, watched=list(self._positions))
        now = {row[0]: row for row in [*fresh, *seen]}
        found = []
        for number, row in now.items():
            before = self._positions.get(number)
            if before is None:
                found.append(_position(database, "position_opened", row))
            if row[2] != "open":
                if before is None or before[2] == "open":
                    found.append(_position(database, "position_closed", row))
            elif before is not None and row != before:
                found.append(_position(database, "position_changed", row))
        self._read("positions", now, here, now_s, all_of_them=len(fresh) < MOST_AT_ONCE)
        self._positions = {number: row for number, row in now.items() if row[2] == "open"}
        return found

    def _equity(self, database: Database) -> list[Happened]:
        found = looked(database, "equity_since", equity=self._equity_at)
        if not found:
            return []
        at, equity, cash, positions, count = found[0]
        self._equity_at = at
        data = {"equity_usd": equity, "cash_usd": cash, "positions_usd": positions, "open_positions": count}
        return [Happened(database.variant, "equity", at, data)]

    def _standing(self, database: Database) -> list[Happened]:
        before, self._state = self._state, _state(database)
        assert before is not None
        found, now = [], datetime.now(UTC)
        if self._state[0] != before[0]:
            b = self._state[0]
            data = {
                "tripped": b.tripped, "reason": b.reason, "tripped_by": b.tripped_by, "paused": b.paused,
                "pause_reason": b.pause_reason, "paused_by": b.paused_by,
            }  # fmt: skip
            found.append(Happened(database.variant, "breaker", now, data))
        if self._state[1] != before[1] and self._state[1] is not None:
            scan_end, candle, session, state = self._state[1]
            data = {"last_scan_end": scan_end, "last_candle": candle, "session_id": session, "state": state}
            found.append(Happened(database.variant, "heartbeat", now, data))
        return found


def _state(database: Database) -> tuple[Any, Any]:
    beat = Heartbeat(database).read()
    standing = None if beat is None else (beat.last_scan_end, beat.last_candle, beat.session_id, beat.state)
    return PostgresStore(database).breaker(), standing


def _position(database: Database, kind: str, row: Sequence[Any]) -> Happened:
    data = dict(zip(_POSITION, row, strict=True))
    data["id"], data["symbol"] = str(data["id"]), store_symbol(data["symbol"])
    at = (row[4] if kind == "position_closed" else row[3] if kind == "position_opened" else None) or datetime.now(UTC)
    return Happened(database.variant, kind, at, data)


@dataclass(slots=True)
class Stream:
    """Numbered events, the newest kept. Used from one event loop only."""

    name: str = field(default_factory=lambda: secrets.token_hex(8))
    last: int = 0
    kept: deque[Event] = field(default_factory=lambda: deque(maxlen=KEPT))
    _listeners: list[Listener] = field(default_factory=list)

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return len(self._listeners)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every event and its text from now on, until the function that is returned is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def add(self, happened: Iterable[Happened]) -> None:
        """Number what happened and hand it out."""
        for h in happened:
            self.last += 1
            event = Event(self.last, h.variant, h.kind, h.at, h.data)
            self.kept.append(event)
            if self._listeners:
                text = event.text()  # once for all of them
                for listener in tuple(self._listeners):
                    listener(event, text)

    def after(self, seq: int, limit: int) -> tuple[list[Event], bool]:
        """Return up to `limit` events after number `seq`, and whether some of them are gone for good."""
        oldest = self.kept[0].seq if self.kept else self.last + 1
        lost = seq + 1 < oldest and seq < self.last
        first = max(seq + 1 - oldest, 0)
        return list(islice(self.kept, first, first + limit)), lost
