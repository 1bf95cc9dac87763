"""`sigil alerts` as a person uses it, and uses it wrongly."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from sigil_ext.db.incidents import Incidents
from sigil_ext.db.outbox import Outbox
from sigil_ext.services import alerts
from sigil_ext.services.database import open_database
from tests.alert_receiver import Receiver

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def receiver():
    one = Receiver().start()
    yield one
    one.stop()


@pytest.fixture
def outbox(server):
    alerts._sender.cache_clear()
    database = open_database("aggressive", server)
    with database.transaction() as cur:
        cur.execute("TRUNCATE alerts, alert_deliveries, alert_channels, incidents")
    yield Outbox(database)
    database.close()


def test_a_test_goes_through_every_channel_and_says_of_each_what_came_of_it(sigil, server, receiver, monkeypatch):
    monkeypatch.setenv("SIGIL_ALERT_URLS", f"{receiver.url} json://127.0.0.1:1/geheim")
    monkeypatch.setenv("SIGIL_ALERT_EVENTS", "-test")  # filters do not hold a test back
    ran = sigil("alerts", "test", "--variant", "aggressive", project=server)
    ok, failed = ran.out.splitlines()
    assert ok.startswith("aggressive, json-")
    assert ok.endswith("(JSON): ok")
    assert failed.endswith("(JSON): refused the connection")
    assert (ran.status, receiver.titles) == (1, ["aggressive: test"])
    assert "geheim" not in ran.out + ran.err
    assert "SECRET" not in ran.out + ran.err


def test_a_test_of_all_variants_is_json_when_asked(sigil, server, receiver, monkeypatch):
    monkeypatch.setenv("SIGIL_ALERT_URLS", receiver.url)
    ran = sigil("alerts", "test", "--all", "--json", project=server)
    assert ran.status == 0
    assert [(t["variant"], t["ok"], t["error"]) for t in json.loads(ran.out)] == [
        (v, True, None) for v in ("baseline", "moderate", "aggressive", "unhinged")
    ]


def test_without_a_channel_a_test_says_what_to_put_where(sigil, server):
    ran = sigil("alerts", "test", project=server)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith(
        f"error: no channel for variant 'baseline'; put SIGIL_ALERT_URLS=... into {server.env_file}"
    )
    assert "discord://webhook_id/webhook_token" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_alerts_are_listed_sent_and_listed_as_sent(sigil, server, outbox, receiver, monkeypatch):
    outbox.put("entry", at=NOON, title="entry TST-USDT", body="body")
    outbox.put("exit", at=NOON, title="exit TST-USDT", body="body", reason="hard_stop")
    listed = sigil("alerts", "list", "--variant", "aggressive", project=server)
    assert listed.out.index("exit TST-USDT") < listed.out.index("entry TST-USDT")
    assert "waiting" in listed.out
    receiver.stop()
    monkeypatch.setenv("SIGIL_ALERT_URLS", receiver.url)
    failed = sigil("alerts", "send", "--variant", "aggressive", project=server)
    assert failed.status == 1
    assert "aggressive: 0 sent, 1 failed, 0 filtered, 2 waiting" in failed.out
    assert (
        "refused the connection" in sigil("alerts", "list", "--variant", "aggressive", "--waiting", project=server).out
    )
    receiver.start()
    with outbox.database.transaction() as cur:
        cur.execute("UPDATE alert_channels SET next_attempt_at = now()")
    sent = sigil("alerts", "send", "--variant", "aggressive", "--json", project=server)
    assert json.loads(sent.out) == {"aggressive": {"sent": 2, "failed": 0, "filtered": 0, "waiting": 0, "errors": []}}
    documents = json.loads(
        sigil("alerts", "list", "--variant", "aggressive", "--json", "--limit", "1", project=server).out
    )
    assert [(d["title"], d["reason"], d["state"]) for d in documents] == [("exit TST-USDT", "hard_stop", "sent")]
    assert [d["state"] for d in documents[0]["deliveries"]] == ["sent"]
    assert (
        "no alert of variant aggressive waits"
        in sigil("alerts", "list", "--variant", "aggressive", "--waiting", project=server).out
    )


def test_what_is_wrong_now_stands_under_the_list(sigil, server, outbox):
    Incidents(outbox.database).open(
        "feed:lost", detail="no candle for 3 min", event="feed_lost", title="feed lost", body="body", now=NOON
    )
    ran = sigil("alerts", "list", "--variant", "aggressive", project=server)
    assert "wrong since 2026-01-05 12:00 UTC: feed:lost: no candle for 3 min" in ran.out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["alerts", "test", "--variant", "basline"], "did you mean 'baseline'"),
        (["alerts", "test", "--variant", "legacy"], "research"),
        (["alerts", "send", "--variant", "legacy"], "research"),
        (["alerts", "list", "--variant", "basline"], "did you mean 'baseline'"),
        (["alerts", "list", "--limit", "0"], "limit"),
        (["alerts", "sned"], "sned"),
    ],
)
def test_wrong_use_gets_one_sentence(sigil, server, arguments, word):
    ran = sigil(*arguments, project=server)
    assert (ran.status, ran.out) == (2, "")
    assert len(ran.err.strip().splitlines()) == 1
    assert word in ran.err


def test_a_wrong_filter_is_one_sentence(sigil, server, receiver, monkeypatch):
    monkeypatch.setenv("SIGIL_ALERT_URLS", receiver.url)
    monkeypatch.setenv("SIGIL_ALERT_EVENTS", "exits")
    ran = sigil("alerts", "send", "--variant", "aggressive", project=server)
    assert (ran.status, ran.err) == (2, "error: SIGIL_ALERT_EVENTS: unknown event 'exits'; did you mean 'exit'?\n")
