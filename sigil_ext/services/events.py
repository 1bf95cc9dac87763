"""What happens, as a stream with numbers: one look a second at each variant's tables, for all listeners together.

A `Stream` numbers events from 1 on and keeps the newest `KEPT`, so that whoever missed some sees the gap and fetches it. The
numbers belong to the stream's `name`, which is new with each process: a listener that meets another name begins anew. The
databases are the record, a stream is none: what happened while nobody looked is read from the API.

`Watch` finds what is new in one database; `Stream` numbers, keeps and hands out. Neither knows of sockets.
"""

from __future__ import annotations

import secrets
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

KEPT = 10_000
MOST_AT_ONCE = 1000
_MARKS = ("signals", "protections", "acts", "requests", "scans", "alerts", "audits", "probes", "equity")
_MARK_OF = dict(
    zip(("signal", "protection", "act", "request", "scan", "alert", "audit", "probe"), _MARKS[:-1], strict=True)
)
_POSITION = (
    "id", "symbol", "status", "opened_at", "closed_at", "entry_price", "exit_price", "qty", "stop_price", "trail_armed",
    "exit_reason", "pnl_usd",
)  # fmt: skip
KINDS = (
    *_MARK_OF,
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


class Watch:
    """Finds what is new in one variant's database since the last look. The first look only notes where the tables end."""

    def __init__(self) -> None:
        self._marks: dict[str, Any] | None = None
        self._positions: dict[int, tuple[Any, ...]] = {}
        self._newest_position = 0
        self._state: tuple[Any, Any] | None = None

    def look(self, database: Database) -> list[Happened]:
        """Return what happened since the last look, in one transaction; at most about `MOST_AT_ONCE` rows of a kind.

        A look that fails leaves everything for the next one.
        """
        before = (
            dict(self._marks) if self._marks is not None else None,
            self._newest_position,
            self._positions,
            self._state,
        )
        try:
            with database.one_transaction():
                if self._marks is None or self._is_another(database):
                    self._begin(database)
                    return []
                return [
                    *self._rows(database),
                    *self._changed_positions(database),
                    *self._equity(database),
                    *self._standing(database),
                ]
        except BaseException:
            self._marks, self._newest_position, self._positions, self._state = before
            raise

    def _is_another(self, database: Database) -> bool:
        """Return whether a table ends before the mark: somebody put another database in the place of the old one."""
        assert self._marks is not None
        here = dict(zip(_MARKS, looked(database, "here")[0], strict=True))
        return any(here[name] < self._marks[name] for name in _MARK_OF.values())

    def _begin(self, database: Database) -> None:
        self._marks = dict(zip(_MARKS, looked(database, "here")[0], strict=True))
        held = looked(database, "positions", variant=database.variant, watched=[])
        self._positions = {row[0]: row for row in held}
        with database.transaction() as cur:
            cur.execute("SELECT coalesce(max(id), 0) FROM micro_positions")
            self._newest_position = cur.fetchone()[0]  # type: ignore[index]
        self._state = _state(database)

    def _rows(self, database: Database) -> list[Happened]:
        assert self._marks is not None
        found = []
        for kind, key, at, data in looked(database, "since", **self._marks, limit=MOST_AT_ONCE):
            self._marks[_MARK_OF[kind]] = key
            if data.get("symbol"):
                data["symbol"] = store_symbol(data["symbol"])
            for field_name in data.keys() & {"expires_at", "ban_until"}:
                if data[field_name] is not None:
                    data[field_name] = data[field_name].replace("+00:00", "Z")
            found.append(Happened(database.variant, kind, at, data))
        return found

    def _changed_positions(self, database: Database) -> list[Happened]:
        fresh = looked(
            database, "new_positions", variant=database.variant, positions=self._newest_position, limit=MOST_AT_ONCE
        )
        seen = looked(database, "positions", variant=database.variant, watched=list(self._positions))
        now = {row[0]: row for row in [*fresh, *seen]}
        found = []
        for number, row in now.items():
            before = self._positions.get(number)
            if before is None and number > self._newest_position:
                found.append(_position(database, "position_opened", row))
            if row[2] != "open":
                if before is None or before[2] == "open":
                    found.append(_position(database, "position_closed", row))
            elif before is not None and row != before:
                found.append(_position(database, "position_changed", row))
        self._newest_position = max([self._newest_position, *now])
        self._positions = {number: row for number, row in now.items() if row[2] == "open"}
        return found

    def _equity(self, database: Database) -> list[Happened]:
        assert self._marks is not None
        found = looked(database, "equity_since", equity=self._marks["equity"])
        if not found:
            return []
        at, equity, cash, positions, count = found[0]
        self._marks["equity"] = at
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
