"""What an entry of the stream holds: one minute, as JSON in which every float reads back as the same float.

The id of an entry is the open time of its minute, `-0`; the end of a recording is told by an entry without a minute under
the last one's time, `-1`. Start at `encode` and `decode`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, get_args

from sigil_ext.paper.feed import ClosedMinute, EventKind, FeedEvent, Row

EntryId = tuple[int, int]
"""Open time in ms and running number, in the order of the stream."""

NOTHING: EntryId = (0, 0)
_KINDS = get_args(EventKind)


@dataclass(frozen=True, slots=True)
class Entry:
    """A minute, with what its publisher met on the way. `absent` are published symbols that had no candle then."""

    minute: ClosedMinute
    absent: frozenset[str] = frozenset()
    events: tuple[FeedEvent, ...] = ()

    @property
    def published(self) -> frozenset[str]:
        """The symbols that the minute was published for."""
        return self.absent | self.minute.candles.keys()


def encode(minute: ClosedMinute, symbols: Sequence[str] = (), events: Sequence[FeedEvent] = ()) -> dict[str, str]:
    """Return the fields of the entry for `minute`, published for `symbols`."""
    document: dict[str, Any] = {"open_ms": minute.open_ms, "downtime": minute.downtime, "candles": dict(minute.candles)}
    if absent := sorted(set(symbols) - set(minute.candles)):
        document["absent"] = absent
    if events:
        document["events"] = [(e.at_ms, e.kind, e.symbol, e.detail) for e in events]
    return {"minute": json.dumps(document, separators=(",", ":"), allow_nan=False)}


def decode(entry_id: str, fields: Mapping[str, str]) -> Entry | None:
    """Return the entry that `encode` wrote, None for the end of a recording.

    Raises:
        ValueError: it is something else.
    """
    open_ms, number = parse_id(entry_id)
    if "end" in fields:
        return None
    try:
        found = json.loads(fields["minute"])
        candles = {str(s): _row(row, open_ms) for s, row in sorted(found["candles"].items())}
        minute = ClosedMinute(int(found["open_ms"]), candles, bool(found["downtime"]))
        events = tuple(_event(*e) for e in found.get("events", ()))
        entry = Entry(minute, frozenset(map(str, found.get("absent", ()))), events)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no minute: {str(dict(fields))[:80]}") from error
    if (minute.open_ms, 0) != (open_ms, number):
        raise ValueError(f"holds the minute {minute.open_ms}")
    return entry


def readable(entries: Iterable[tuple[str, Mapping[str, str]]]) -> list[Entry]:
    """Return the minutes among entries of a stream; ends of recordings, and what is no minute, are left out."""
    found: list[Entry] = []
    for entry_id, fields in entries:
        with suppress(ValueError):
            if (entry := decode(entry_id, fields)) is not None:
                found.append(entry)
    return found


def parse_id(entry_id: str) -> EntryId:
    """Return the two numbers of an entry's id."""
    open_ms, _, number = entry_id.partition("-")
    return int(open_ms), int(number)


def format_id(entry_id: EntryId) -> str:
    """Return an entry's id as Redis writes it."""
    return f"{entry_id[0]}-{entry_id[1]}"


def _row(values: Any, open_ms: int) -> Row:
    row = tuple(float(v) for v in values)
    if len(row) != 6 or row[0] != open_ms or not all(map(math.isfinite, row)):
        raise ValueError("a candle has six numbers, the first of them the time of its minute")
    return row


def _event(at_ms: Any, kind: Any, symbol: Any, detail: Any) -> FeedEvent:
    if kind not in _KINDS:
        raise ValueError(f"unknown event {kind!r}")
    return FeedEvent(int(at_ms), kind, None if symbol is None else str(symbol), str(detail))
