"""What goes through the stream comes out the same, and nothing else passes for a minute."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigil_ext.paper.feed import ClosedMinute, FeedEvent
from sigil_ext.paper.stream_entry import Entry, decode, encode, format_id, parse_id

OPEN_MS = 1_750_107_600_000
ID = f"{OPEN_MS}-0"

numbers = st.floats(allow_nan=False, allow_infinity=False)
rows = st.tuples(st.just(float(OPEN_MS)), *[numbers] * 5)
symbols = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
minutes = st.builds(ClosedMinute, st.just(OPEN_MS), st.dictionaries(symbols, rows, max_size=4), st.booleans())
events = st.builds(
    FeedEvent,
    st.integers(0, 2**53),
    st.sampled_from(["late", "revised", "lost", "halted"]),
    st.none() | symbols,
    symbols,
)


def bits(minute: ClosedMinute) -> dict[str, bytes]:
    return {s: struct.pack("<6d", *row) for s, row in minute.candles.items()}


@given(minutes, st.lists(symbols, max_size=3), st.lists(events, max_size=3))
def test_a_minute_reads_back_bit_for_bit_with_its_events_and_who_was_silent(minute, published, told):
    entry = decode(ID, encode(minute, published, told))
    assert isinstance(entry, Entry)
    assert bits(entry.minute) == bits(minute)
    assert list(entry.minute.candles) == sorted(minute.candles)
    assert (entry.minute.open_ms, entry.minute.downtime) == (minute.open_ms, minute.downtime)
    assert entry.absent == set(published) - set(minute.candles)
    assert list(entry.events) == told


def test_the_end_of_a_recording_is_no_minute():
    assert decode(f"{OPEN_MS}-1", {"end": "1"}) is None


GOOD = {"open_ms": OPEN_MS, "downtime": False, "candles": {"A-USDT": [OPEN_MS, 1, 2, 3, 4, 5]}}


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", "null", "1", '"minute"', "{broken",
        json.dumps({**GOOD, "candles": []}),
        json.dumps({**GOOD, "candles": {"A-USDT": [OPEN_MS, 1, 2, 3, 4]}}),
        json.dumps({**GOOD, "candles": {"A-USDT": [OPEN_MS, 1, 2, 3, 4, "x"]}}),
        json.dumps({**GOOD, "candles": {"A-USDT": [OPEN_MS, 1, 2, 3, 4, float("nan")]}}),
        json.dumps({**GOOD, "candles": {"A-USDT": [OPEN_MS, 1, 2, 3, 4, None]}}),
        json.dumps({**GOOD, "candles": {"A-USDT": [OPEN_MS + 60_000, 1, 2, 3, 4, 5]}}),
        json.dumps({**GOOD, "open_ms": OPEN_MS + 60_000}),
        json.dumps({**GOOD, "events": [[1, "no such kind", None, "x"]]}),
        json.dumps({**GOOD, "events": [[1, "late"]]}),
    ],
)  # fmt: skip
def test_what_is_no_minute_is_refused(text):
    assert decode(ID, {"minute": json.dumps(GOOD)}) is not None
    with pytest.raises(ValueError):
        decode(ID, {"minute": text})


def test_an_entry_of_somebody_elses_is_refused():
    with pytest.raises(ValueError, match="no minute"):
        decode(ID, {"price": "1"})
    with pytest.raises(ValueError, match="holds the minute"):
        decode(f"{OPEN_MS}-1", {"minute": json.dumps(GOOD)})


@given(st.tuples(st.integers(0, 2**53), st.integers(0, 2**53)))
def test_an_id_reads_back(entry_id):
    assert parse_id(format_id(entry_id)) == entry_id
