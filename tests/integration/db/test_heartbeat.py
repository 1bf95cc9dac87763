"""The heartbeat row: written piece by piece, by the database's clock, within the caller's transaction."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime

import pytest

from sigil_ext.db.connection import Database
from sigil_ext.db.heartbeat import Heartbeat, HeartbeatRow

OPEN_MS = 1_750_000_020_000


def read(heart: Heartbeat) -> HeartbeatRow:
    row = heart.read()
    assert row is not None
    return row


def test_a_variant_that_never_beat_has_no_row(database: Database) -> None:
    assert Heartbeat(database).read() is None


def test_a_scan_that_began_has_no_end_until_it_ends(database: Database) -> None:
    heart = Heartbeat(database)
    heart.scan_started()
    begun = read(heart)
    assert begun.last_scan_start is not None
    assert begun.last_scan_end is None
    heart.scan_ended()
    ended = read(heart)
    assert ended.last_scan_end is not None
    assert begun.last_scan_start == ended.last_scan_start < ended.last_scan_end <= ended.updated_at <= ended.now


def test_a_scan_within_one_transaction_ends_after_it_began(database: Database) -> None:
    heart = Heartbeat(database)
    with database.one_transaction():
        heart.scan_started()
        heart.scan_ended()
    row = read(heart)
    assert row.last_scan_start is not None
    assert row.last_scan_end is not None
    assert row.last_scan_start < row.last_scan_end


def test_progress_is_the_end_of_the_minute_and_leaves_the_scan_as_it_was(database: Database) -> None:
    heart = Heartbeat(database)
    heart.scan_started()
    heart.scan_ended()
    before = read(heart)
    heart.progress(OPEN_MS, session_id=7, feed="replay")
    row = read(heart)
    assert row.last_candle == datetime.fromtimestamp((OPEN_MS + 60_000) / 1000, UTC)
    assert row.last_write is not None
    assert before.now < row.last_write <= row.now
    assert (row.session_id, row.feed, row.state) == (7, "replay", None)
    assert (row.last_scan_start, row.last_scan_end) == (before.last_scan_start, before.last_scan_end)


def test_the_same_minute_again_is_no_progress_but_that_of_another_session_is(database: Database) -> None:
    heart = Heartbeat(database)
    heart.progress(OPEN_MS, session_id=7, feed="exchange")
    first = read(heart)
    heart.progress(OPEN_MS, session_id=7, feed="exchange")
    again = read(heart)
    assert again.last_write == first.last_write
    assert again.updated_at > first.updated_at
    heart.progress(OPEN_MS, session_id=8, feed="exchange")
    third = read(heart)
    assert third.last_write is not None
    assert first.last_write is not None
    assert third.last_write > first.last_write
    heart.progress(OPEN_MS + 60_000, session_id=8, feed="exchange")
    fourth = read(heart)
    assert fourth.last_write is not None
    assert fourth.last_write > third.last_write


def test_the_state_names_the_process_and_leaves_progress_as_it_was(database: Database) -> None:
    heart = Heartbeat(database)
    heart.progress(OPEN_MS, session_id=7, feed="redis")
    before = read(heart)
    heart.state("stopped", session_id=7, feed="redis")
    row = read(heart)
    assert (row.state, row.pid, row.host) == ("stopped", os.getpid(), socket.gethostname())
    assert (row.last_candle, row.last_write) == (before.last_candle, before.last_write)


def test_the_session_tells_when_it_was_begun(database: Database) -> None:
    with database.transaction() as cur:
        cur.execute(
            "INSERT INTO paper_sessions (settings, symbols, start_ms, warmup) VALUES ('{}', '{}', 0, '')"
            " RETURNING id, started_at"
        )
        row = cur.fetchone()
    assert row is not None
    heart = Heartbeat(database)
    heart.state("running", session_id=row[0], feed="replay")
    assert read(heart).session_began == row[1]


def test_a_heartbeat_is_undone_with_the_transaction_it_belongs_to(database: Database) -> None:
    heart = Heartbeat(database)

    def minute_that_fails() -> None:
        with database.one_transaction():
            heart.progress(OPEN_MS, session_id=7, feed="replay")
            raise RuntimeError("the minute failed")

    with pytest.raises(RuntimeError, match="the minute failed"):
        minute_that_fails()
    assert heart.read() is None
