"""Alerts on their way to real HTTP servers: each arrives once through each channel, whatever happens in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg2
import pytest

from sigil_ext.db import embedded
from sigil_ext.db.outbox import Outbox
from sigil_ext.errors import DatabaseUnavailable
from sigil_ext.notify.backoff import Backoff
from sigil_ext.notify.sender import Policy, Sender
from sigil_ext.settings.alerts import AlertFilter, Names

QUICK = Policy(timeout_s=3.0, lease=timedelta(seconds=10))
MINUTE = timedelta(minutes=1)


def states(database) -> Counter[str]:
    return Counter(a.state for a in Outbox(database).list(limit=1000))


def later(minutes: float) -> datetime:
    return datetime.now(UTC) + timedelta(minutes=minutes)


def without_variant(titles: list[str]) -> list[str]:
    return [t.removeprefix("baseline: ") for t in titles]


def test_an_alert_arrives_once_with_the_variant_its_number_and_its_time(database, receiver, alert):
    alert("entry", "entry TST-USDT at 0.05")
    sender = Sender(database)
    first, second = sender.deliver([receiver.channel()]), sender.deliver([receiver.channel()])
    assert (first.sent, first.waiting, second.sent) == (1, 0, 0)
    ((title, body),) = receiver.got
    assert title == "baseline: entry TST-USDT at 0.05"
    stored = Outbox(database).list()[0]
    assert body == f"body\n{stored.at:%Y-%m-%d %H:%M} UTC, alert {stored.id}"
    assert stored.state == "sent"


def test_alerts_arrive_in_the_order_in_which_they_were_written(database, receiver, alert):
    for number in range(20):
        alert("entry", f"{number}")
    assert Sender(database).deliver([receiver.channel()]).sent == 20
    assert without_variant(receiver.titles) == [str(n) for n in range(20)]


def test_an_alert_of_a_transaction_that_was_undone_is_never_sent(database, receiver, alert):
    def enter_and_fail() -> None:
        with database.one_transaction():
            alert("entry", "never")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        enter_and_fail()
    assert Sender(database).deliver([receiver.channel()]).sent == 0


# --- a channel that fails ---------------------------------------------------------------------------------------------


def test_an_hour_without_the_channel_loses_nothing_and_repeats_nothing(database, receiver, alert):
    sender = Sender(database, QUICK)
    receiver.stop()
    tries = 0
    for step in range(360):  # a pass every 10 s, for an hour
        if step % 12 == 0:
            alert("exit", f"{step // 12}", reason="hard_stop")
        tries += sender.deliver([receiver.channel()], now=later(step / 6)).failed
    assert states(database) == {"waiting": 30}
    assert tries < 25, "a channel that is down is asked seldom"
    receiver.start()
    sender.deliver([receiver.channel()], now=later(60 + 5))  # the longest pause is five minutes
    assert sorted(map(int, without_variant(receiver.titles))) == list(range(30))
    assert without_variant(receiver.titles)[1:] == sorted(without_variant(receiver.titles)[1:], key=int)
    assert states(database) == {"sent": 30}
    for step in range(10):
        assert sender.deliver([receiver.channel()], now=later(65 + step)).sent == 0
    assert len(receiver.got) == 30


def test_a_late_alert_says_that_it_is_late(database, receiver, alert):
    alert("entry", "one")
    Sender(database).deliver([receiver.channel()], now=later(61))
    assert "delivered 60 min late" in receiver.got[0][1] or "delivered 61 min late" in receiver.got[0][1]


def test_a_channel_that_fails_makes_no_other_get_the_message_twice(database, receiver, second_receiver, alert):
    second_receiver.answer = lambda title: 500
    for number in range(5):
        alert("entry", f"{number}")
    sender, channels = Sender(database, QUICK), [second_receiver.channel(), receiver.channel()]
    for minute in range(30):
        sender.deliver(channels, now=later(minute))
    assert without_variant(receiver.titles) == list("01234")
    assert (second_receiver.got, states(database)) == ([], {"waiting": 5})
    second_receiver.answer = lambda title: 200
    sender.deliver(channels, now=later(40))
    assert sorted(without_variant(second_receiver.titles)) == list("01234")
    assert (len(receiver.got), states(database)) == (5, {"sent": 5})


def test_the_first_failures_are_retried_soon_and_later_ones_seldom(database, receiver, alert):
    receiver.answer = lambda title: 500
    alert("entry", "one")
    sender = Sender(database, Policy(backoff=Backoff(base_s=10, cap_s=300, jitter=0)))
    begin, tried = datetime.now(UTC), []
    for second in range(0, 1800, 5):
        if sender.deliver([receiver.channel()], now=begin + timedelta(seconds=second)).failed:
            tried.append(second)
    assert tried == [0, 10, 30, 70, 150, 310, 610, 910, 1210, 1510]


def test_a_message_that_the_channel_refuses_does_not_hold_up_the_others(database, receiver, alert):
    receiver.answer = lambda title: 400 if "bad" in title else 200
    for title in ("0", "bad", "1", "2"):
        alert("entry", title)
    sender = Sender(database, QUICK)
    sender.deliver([receiver.channel()])
    assert without_variant(receiver.titles) == ["0", "1", "2"]
    for minute in range(1, 60):
        sender.deliver([receiver.channel()], now=later(minute))
    assert without_variant(receiver.titles) == ["0", "1", "2"]
    waiting = Outbox(database).list(waiting=True)
    assert [a.title for a in waiting] == ["bad"]
    assert waiting[0].deliveries[0]["error"] == "answered 400"


def test_a_message_that_breaks_the_channel_first_in_line_does_not_hold_up_the_others_for_ever(
    database, receiver, alert
):
    receiver.answer = lambda title: 500 if "bad" in title else 200
    for title in ("bad", "1", "2"):
        alert("entry", title)
    sender = Sender(database, QUICK)
    for minute in range(10):
        sender.deliver([receiver.channel()], now=later(minute))
    assert without_variant(receiver.titles) == ["1", "2"]


def test_after_three_days_an_alert_is_given_up_and_says_why(database, receiver, alert):
    receiver.answer = lambda title: 403
    alert("entry", "one")
    sender = Sender(database, QUICK)
    for hour in range(80):
        sender.deliver([receiver.channel()], now=later(60 * hour))
    given_up = Outbox(database).list()[0]
    assert (given_up.state, given_up.deliveries[0]["error"]) == ("given_up", "answered 403")


# --- nobody can know whether it arrived -------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", ["slow", "breaks off"])
def test_a_message_without_an_answer_comes_again_and_says_that_it_may_be_a_repeat(database, receiver, alert, trouble):
    receiver.delay_s, receiver.break_off = (8.0, False) if trouble == "slow" else (0, True)
    alert("entry", "one")
    sender = Sender(database, QUICK)
    began = time.monotonic()
    assert sender.deliver([receiver.channel()]).errors == (
        f"{receiver.channel().name} took the message and did not answer",
    )
    assert time.monotonic() - began < 6
    receiver.delay_s, receiver.break_off = 0, False
    sender.deliver([receiver.channel()], now=later(1))
    (_, first), (_, second) = receiver.got
    assert "repeat" not in first
    assert "may be a repeat" in second


SENDER = """
import sys
from pydantic import SecretStr
from sigil_ext.db.connection import Database
from sigil_ext.notify.channel import open_channel
from sigil_ext.notify.sender import Policy, Sender
from sigil_ext.settings.alerts import ChannelSetting
from sigil_ext.settings.environment import DatabaseAddress
from datetime import timedelta
host, port, user, password, name, source, url = sys.argv[1:]
database = Database("baseline", DatabaseAddress(host, int(port), user, SecretStr(password), name, source))
channel = open_channel(ChannelSetting(SecretStr(url), (), "SIGIL_ALERT_URLS"))
sender = Sender(database, Policy(timeout_s=2.0, lease=timedelta(seconds=3)))
print("ready", flush=True)
while True:
    sender.deliver([channel], budget_s=5)
"""


def sender_process(database, receiver) -> subprocess.Popen[str]:
    a = database.address
    arguments = [a.host, str(a.port), a.user, a.password.get_secret_value(), a.name, a.source, receiver.url]
    process = subprocess.Popen(
        [sys.executable, "-c", SENDER, *arguments], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.slow
def test_a_sender_killed_at_any_instant_loses_nothing_and_a_repeat_says_so(database, receiver, alert):
    receiver.delay_s = 0.02
    for number in range(60):
        alert("entry", f"{number}")
    kills = 0
    while kills < 5:
        arrived = len(receiver.got)
        process = sender_process(database, receiver)
        while len(receiver.got) < arrived + 5:
            time.sleep(0.003)
        time.sleep(0.007 * kills)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
        kills += 1
    last = Sender(database, QUICK)
    while states(database)["waiting"]:
        last.deliver([receiver.channel()])
        time.sleep(0.1)
    arrived_titles = Counter(receiver.titles)
    assert len(arrived_titles) == 60
    repeated = sum(count - 1 for count in arrived_titles.values())
    assert repeated <= kills
    assert repeated <= sum("may be a repeat" in body for _, body in receiver.got) <= kills


def test_two_senders_at_once_never_send_one_alert_twice(database, receiver, second_receiver, alert):
    for number in range(60):
        alert("entry", f"{number}")
    channels = [receiver.channel(), second_receiver.channel()]
    senders = [threading.Thread(target=Sender(database).deliver, args=(channels,)) for _ in range(4)]
    for thread in senders:
        thread.start()
    for thread in senders:
        thread.join()
    for one in (receiver, second_receiver):
        assert sorted(map(int, without_variant(one.titles))) == list(range(60))
    Sender(database).deliver(channels)
    assert states(database) == {"sent": 60}


def test_a_database_lost_while_sending_makes_no_repeat(database, receiver, alert):
    alert("entry", "one")
    name, sender = database.address.name, Sender(database, QUICK)

    def administer(*statements: str) -> None:
        address = database.address
        with closing(
            psycopg2.connect(
                host=address.host, port=address.port, user=address.user, dbname="postgres",
                password=address.password.get_secret_value(), **embedded.CLIENT_OPTIONS,
            )
        ) as link:  # fmt: skip
            link.autocommit = True
            with link.cursor() as cur:
                for statement in statements:
                    cur.execute(statement)

    def lose_the_database(title: str) -> int:
        administer(
            f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false',
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
        )
        return 200

    receiver.answer = lose_the_database
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            sender.deliver([receiver.channel()])
    receiver.answer = lambda title: 200
    administer(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    assert sender.deliver([receiver.channel()], now=later(5)).sent == 0  # the lease has run out long ago
    assert (len(receiver.got), states(database)) == (1, {"sent": 1})


# --- filters and channels that come and go ----------------------------------------------------------------------------


def test_each_channel_gets_what_its_filter_lets_through(database, receiver, second_receiver, alert):
    only_breaker = AlertFilter(events=Names(frozenset({"breaker"})))
    no_flat = AlertFilter(exit_reasons=Names(excluded=frozenset({"flat_no_move"})))
    alert("breaker", "breaker")
    alert("exit", "flat", reason="flat_no_move")
    alert("exit", "hard", reason="hard_stop")
    Sender(database).deliver([receiver.channel(only_breaker), second_receiver.channel(no_flat)])
    assert without_variant(receiver.titles) == ["breaker"]
    assert without_variant(second_receiver.titles) == ["breaker", "hard"]
    assert {a.title: a.state for a in Outbox(database).list()} == {
        "breaker": "sent", "flat": "filtered", "hard": "sent",
    }  # fmt: skip


def test_without_a_channel_alerts_are_settled_and_do_not_flood_the_first_one_later(database, receiver, alert):
    alert("entry", "old")
    assert Sender(database).deliver([]).waiting == 0
    alert("entry", "new")
    Sender(database).deliver([receiver.channel()])
    assert without_variant(receiver.titles) == ["new"]
    assert states(database) == {"filtered": 1, "sent": 1}


def test_a_channel_put_in_place_of_a_broken_one_gets_what_waits(database, receiver, second_receiver, alert):
    receiver.stop()
    alert("entry", "one")
    Sender(database, QUICK).deliver([receiver.channel()])
    Sender(database, QUICK).deliver([second_receiver.channel()], now=later(1))
    assert without_variant(second_receiver.titles) == ["one"]
    Sender(database, QUICK).deliver([second_receiver.channel()], now=later(70))
    assert {d["channel"].split("-")[0]: d["state"] for d in Outbox(database).list()[0].deliveries}.keys() == {"json"}
    assert Outbox(database).list()[0].state == "given_up"


def test_a_pass_ends_in_its_time_however_many_alerts_wait(database, receiver, alert):
    receiver.delay_s = 0.2
    for number in range(40):
        alert("entry", f"{number}")
    began = time.monotonic()
    counts = Sender(database, QUICK).deliver([receiver.channel()], budget_s=2.0)
    assert time.monotonic() - began < 7, "all forty take eight seconds"
    assert 0 < counts.sent < 40
    assert counts.waiting == 40 - counts.sent


def test_a_short_time_is_used_and_a_slow_channel_is_not_cut_off_at_its_end(database, receiver, alert):
    receiver.delay_s = 0.7
    for number in range(20):
        alert("entry", f"{number}")
    sender = Sender(database)  # a message may take ten seconds, and there are three
    began = time.monotonic()
    counts = sender.deliver([receiver.channel()], budget_s=3.0)
    assert time.monotonic() - began < 10, "all twenty take fourteen seconds"
    assert (counts.sent >= 2, counts.failed) == (True, 0)
    receiver.delay_s = 0
    sender.deliver([receiver.channel()])
    assert without_variant(receiver.titles) == [str(n) for n in range(20)]


def test_the_address_is_in_no_table(database, receiver, alert):
    receiver.answer = lambda title: 500
    alert("entry", "one")
    Sender(database, QUICK).deliver([receiver.channel()])
    with database.transaction() as cur:
        for table in ("alerts", "alert_deliveries", "alert_channels"):
            cur.execute(f"SELECT t::text FROM {table} AS t")
            for (row,) in cur.fetchall():
                assert "SECRET" not in row
                assert str(receiver.port) not in row
