"""A database that is lost is told to the channels directly, once, and its return once."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from sigil_ext.db import embedded
from sigil_ext.db.outbox import Outbox
from sigil_ext.services import alerts
from sigil_ext.services.alerts import sender_job
from sigil_ext.services.database import open_database
from sigil_ext.services.outage import GRACE, database_back, database_lost

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def lost(project, channels, seconds: float) -> list[str]:
    return database_lost(project, "baseline", "no server answers", channels, now=after(seconds))


def test_an_outage_is_told_once_after_a_minute_and_its_end_once(empty_project, database, receiver):
    channels = [receiver.channel()]
    told = [lost(empty_project, channels, s) for s in range(0, 600, 10)]
    assert [len(t) for t in told] == [0] * 6 + [1] + [0] * 53
    assert receiver.titles == ["baseline: database lost"]
    assert receiver.got[0][1].endswith("since 2026-01-05 12:00 UTC")
    assert [database_back(empty_project, database, now=after(600)) for _ in range(2)] == [True, False]
    (alert,) = Outbox(database).list()
    assert alert.body == "lost at 2026-01-05 12:00 UTC for 10 min; it was: no server answers"


def test_a_short_outage_is_not_told(empty_project, database, receiver):
    assert lost(empty_project, [receiver.channel()], 0) == []
    assert not database_back(empty_project, database, now=after(GRACE.total_seconds() - 1))
    assert lost(empty_project, [receiver.channel()], 100) == [], "a new outage, which has just begun"
    assert (receiver.got, Outbox(database).list()) == ([], [])


def test_a_channel_that_is_away_meanwhile_is_told_later_and_no_other_twice(empty_project, receiver, second_receiver):
    channels = [receiver.channel(), second_receiver.channel()]
    second_receiver.stop()
    for seconds in range(0, 1800, 10):
        lost(empty_project, channels, seconds)
    second_receiver.start()
    for seconds in range(1800, 3600, 10):
        lost(empty_project, channels, seconds)
    assert receiver.titles == second_receiver.titles == ["baseline: database lost"]


def test_four_processes_that_see_it_at_once_tell_it_once(empty_project, receiver):
    lost(empty_project, [receiver.channel()], 0)
    receiver.delay_s = 0.1
    threads = [threading.Thread(target=lost, args=(empty_project, [receiver.channel()], 70)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert receiver.titles == ["baseline: database lost"]


def test_killed_between_the_alert_and_the_file_the_return_is_told_once(empty_project, database, receiver):
    lost(empty_project, [receiver.channel()], 0)
    lost(empty_project, [receiver.channel()], 70)
    (file,) = (empty_project.storage / "alerts").glob("*.json")
    before = file.read_text()
    assert database_back(empty_project, database, now=after(100))
    file.write_text(before)  # as if the process had been killed before it removed the file
    assert not database_back(empty_project, database, now=after(110))
    assert len(Outbox(database).list()) == 1


@pytest.fixture
def job(empty_project, receiver, monkeypatch):
    monkeypatch.setenv("SIGIL_ALERT_URLS", receiver.url)
    alerts._sender.cache_clear()
    alerts._complaints.clear()
    yield lambda: sender_job("baseline", empty_project, grace=timedelta(0))
    alerts._sender.cache_clear()


def test_the_job_of_a_session_delivers_lives_through_an_outage_and_tells_of_it(empty_project, receiver, job, caplog):
    database = open_database("baseline", empty_project)
    outbox = Outbox(database)
    outbox.put("entry", at=NOON, title="one", body="body")
    job()
    assert receiver.titles == ["baseline: one"]
    outbox.put("entry", at=NOON, title="two", body="body")
    embedded.stop(empty_project)
    for _ in range(6):
        job()
    said = [r.getMessage() for r in caplog.records if r.name == "sigil.alerts"]
    # On a slow machine the connection that was cut has been idle for so long that it is tried, and left, beforehand.
    assert ["no server answers" in line for line in said] in ([False, True], [True])
    assert len(said) <= 2, "said when it changes, not every ten seconds"
    embedded.ensure_running(empty_project)
    for _ in range(3):
        job()
    assert sorted(receiver.titles[1:]) == ["baseline: database is back", "baseline: database lost", "baseline: two"]


def test_the_job_never_raises_and_says_what_is_wrong_with_the_settings(receiver, job, caplog, monkeypatch):
    monkeypatch.setenv("SIGIL_ALERT_URLS", "dicsord://geheim")
    job()
    (said,) = [r.getMessage() for r in caplog.records if r.name == "sigil.alerts"]
    assert "unknown kind of address 'dicsord://'" in said
    assert "geheim" not in said
