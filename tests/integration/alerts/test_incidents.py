"""What is wrong is told once when it begins and once when it is over, however many processes see it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from sigil_ext.db.incidents import Incidents
from sigil_ext.db.outbox import Outbox
from sigil_ext.services.alerts import incident, resolve_incident

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def lose(database, minute: int = 0, detail: str = "no candle") -> bool:
    return incident(database, "feed:lost", detail, "feed_lost", "feed lost", "body", NOON + timedelta(minutes=minute))


def find(database, minute: int):
    return resolve_incident(
        database, "feed:lost", "feed_back", "feed is back", "body", NOON + timedelta(minutes=minute)
    )


def told(database) -> list[tuple[str, datetime]]:
    return [(a.event, a.at) for a in reversed(Outbox(database).list())]


def test_an_incident_is_told_once_and_its_end_once(database):
    assert [lose(database, m) for m in (0, 5, 10)] == [True, False, False]
    was = find(database, 15)
    assert (was.opened_at, was.detail) == (NOON, "no candle")
    assert find(database, 20) is None
    assert told(database) == [("feed_lost", NOON), ("feed_back", NOON + timedelta(minutes=15))]


def test_the_same_again_is_a_new_incident(database):
    for minute in (0, 30):
        assert lose(database, minute)
        assert find(database, minute + 10)
    assert [event for event, _ in told(database)] == ["feed_lost", "feed_back", "feed_lost", "feed_back"]


def test_what_is_well_is_not_told_to_be_well_again(database):
    assert find(database, 0) is None
    assert told(database) == []


def test_what_is_wrong_now_can_be_read_with_its_latest_detail(database):
    lose(database, 0, "no candle")
    lose(database, 5, "still no candle")
    (open_now,) = Incidents(database).all()
    assert (open_now.opened_at, open_now.last_seen_at) == (NOON, NOON + timedelta(minutes=5))
    assert open_now.detail == "still no candle"


def test_an_incident_of_a_minute_that_was_undone_was_never_told(database):
    def minute_that_fails() -> None:
        with database.one_transaction():
            assert lose(database)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        minute_that_fails()
    assert (told(database), Incidents(database).all()) == ([], [])
    assert lose(database)


@pytest.mark.parametrize("act", ["open", "resolve"])
def test_eight_at_once_tell_it_once(database, act):
    if act == "resolve":
        lose(database)
    start, results = threading.Barrier(8), []

    def run() -> None:
        start.wait()
        results.append(bool(lose(database) if act == "open" else find(database, 5)))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False] * 7 + [True]
    assert len(told(database)) == (1 if act == "open" else 2)
