"""The stream of events: numbers without a hole, a gap that shows and can be fetched, and a listener that does not read."""

from __future__ import annotations

import json
import socket
import time
from base64 import b64encode
from collections import deque
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from sigil_ext.db.heartbeat import Heartbeat
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.rules.types import Entry, Exit
from sigil_ext.services.event_marks import MOST_GAPS, SETTLED_AFTER_S, Mark
from sigil_ext.services.events import KEPT, Happened, Stream, Watch
from tests.panel_server import API, TOKEN, bearer

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
PATIENCE_S = 60


class _NoBan:
    after, window, base_hours, max_hours = 0, timedelta(days=7), 24.0, 168.0


@contextmanager
def listening(panel, query: str = "", token: str | None = TOKEN):
    """A listener that proves itself with its first message, and has heard hello."""
    with connect(panel.websocket + query, proxy=None, open_timeout=PATIENCE_S) as link:
        link.send(json.dumps({"type": "auth", "token": token}))
        hello = json.loads(link.recv(PATIENCE_S))
        assert hello["type"] == "hello"
        link.hello = hello
        yield link


def heard(link, count: int) -> list[dict]:
    """Return the next `count` events; heartbeats in between are passed over."""
    found = []
    while len(found) < count:
        message = json.loads(link.recv(PATIENCE_S))
        if message["type"] == "event":
            found.append(message)
    return found


def enter(store, symbol: str) -> int:
    return store.enter(
        Entry(symbol, NOON, 1.0, 50.0, 50.0, 0.97, 3.0, 0.02, 1.5, True, None, NOON + timedelta(hours=6), 999)
    ).position_id


def test_a_position_is_told_from_its_entry_to_its_exit(panel, own):
    store = PostgresStore(own)
    with listening(panel) as link:
        number = enter(store, "AAA-USDT")
        found = heard(link, 2)
        assert {(e["kind"], e["data"]["symbol"]) for e in found} == {
            ("protection", "AAA-USDT"),
            ("position_opened", "AAA-USDT"),
        }
        store.move_stop(number, at=NOON, stop_price=0.99, high_water=1.05)
        (moved,) = heard(link, 1)
        assert (moved["kind"], moved["data"]["stop_price"]) == ("position_changed", 0.99)
        store.close(Exit(number, "AAA-USDT", NOON + timedelta(hours=1), 0.99, "atr_trail", 0.1, -0.6), _NoBan())
        (closed,) = heard(link, 1)
        assert (closed["kind"], closed["data"]["exit_reason"], closed["data"]["pnl_usd"]) == (
            "position_closed",
            "atr_trail",
            -0.6,
        )
        assert closed["data"]["id"] == str(number)
        assert closed["variant"] == "baseline"


def test_breaker_pause_heartbeat_and_acts_are_told(panel, own):
    store = PostgresStore(own)
    with listening(panel, "?variant=baseline") as link:
        store.pause(at=NOON, actor="eva", reason="a visit")
        found = heard(link, 2)
        assert {e["kind"] for e in found} == {"act", "breaker"}
        assert next(e for e in found if e["kind"] == "breaker")["data"]["pause_reason"] == "a visit"
        store.resume(at=NOON, actor="eva", reason="over")
        heard(link, 2)
        Heartbeat(own).scan_ended()
        assert heard(link, 1)[0]["kind"] == "heartbeat"


def test_numbers_have_no_hole_and_a_listener_that_comes_back_gets_what_it_missed(panel, own):
    store = PostgresStore(own)
    with listening(panel) as steady, listening(panel) as link:
        stream = link.hello["stream"]
        enter(store, "BBB-USDT")
        before = heard(link, 2)
        heard(steady, 2)
        link.close()
        for name in ("CCC-USDT", "DDD-USDT"):
            enter(store, name)
        all_of_it = heard(steady, 4)
    last = before[-1]["seq"]
    # The gap shows by `prev`, and is fetched by GET ...
    assert [e["prev"] for e in all_of_it] == [last, *[e["seq"] for e in all_of_it[:-1]]]
    fetched = panel.get("/events", params={"stream": stream, "after": last}).json()["data"]
    assert not fetched["lost"]
    assert [e["seq"] for e in fetched["events"]][: len(all_of_it)] == [e["seq"] for e in all_of_it]
    assert fetched["events"][0]["data"] == all_of_it[0]["data"]
    page = panel.get("/events", params={"stream": stream, "after": last, "limit": 1}).json()["data"]
    assert (len(page["events"]), page["next_after"]) == (1, all_of_it[0]["seq"])
    # ... or comes first on a new websocket.
    with listening(panel, f"?stream={stream}&after={last}") as again:
        assert [e["seq"] for e in heard(again, 4)] == [e["seq"] for e in all_of_it]
    assert panel.get("/events", params={"stream": "of-yesterday", "after": last}).json()["data"]["lost"]


def test_a_listener_that_comes_back_too_late_is_told_what_it_cannot_have_any_more(panel, own):
    store = PostgresStore(own)
    with listening(panel) as steady:
        assert steady.hello["lost"] is False
        name, last = steady.hello["stream"], steady.hello["seq"]
        stream = panel.app.state.hub._stream
        stream.kept = deque(stream.kept, maxlen=2)  # as if thousands had happened
        try:
            for symbol in ("KKK-USDT", "LLL-USDT"):
                enter(store, symbol)
            heard(steady, 4)
            with listening(panel, f"?stream={name}&after={last}") as late:
                end = late.hello["seq"]
                assert late.hello["lost"] is True
                assert [(e["prev"], e["seq"]) for e in heard(late, 2)] == [(end - 2, end - 1), (end - 1, end)]
            with listening(panel, f"?stream={name}&after={end - 2}") as in_time:
                assert in_time.hello["lost"] is False
                assert [(e["prev"], e["seq"]) for e in heard(in_time, 1)] == [(end - 2, end - 1)]
        finally:
            stream.kept = deque(stream.kept, maxlen=KEPT)
    with listening(panel, f"?stream=of-yesterday&after={last}") as another:
        assert another.hello["lost"] is True


def test_a_filter_passes_over_and_its_numbers_still_show_a_gap(panel, own):
    store = PostgresStore(own)
    with listening(panel, "?kind=position_opened&variant=baseline") as link:
        for name in ("EEE-USDT", "FFF-USDT"):
            enter(store, name)
        first, second = heard(link, 2)
    assert second["prev"] == first["seq"]
    assert second["seq"] > first["seq"]


def test_a_listener_proves_itself_by_header_cookie_or_first_message_and_not_otherwise(panel):
    with connect(panel.websocket, proxy=None, additional_headers=bearer(TOKEN), open_timeout=PATIENCE_S) as link:
        assert json.loads(link.recv(PATIENCE_S))["type"] == "hello"
    with panel.logged_in() as person:
        cookie = {"Cookie": f"{panel.cookie}={person.cookies[panel.cookie]}"}
    with connect(
        panel.websocket, proxy=None, additional_headers=cookie, origin=panel.base, open_timeout=PATIENCE_S
    ) as link:
        assert json.loads(link.recv(PATIENCE_S))["type"] == "hello"
    # The cookie from another site's page is nothing.
    with connect(
        panel.websocket, proxy=None, additional_headers=cookie, origin="http://evil.example", open_timeout=PATIENCE_S
    ) as link:
        refused_after(link, "hello?")
    with pytest.raises(InvalidStatus):
        connect(panel.websocket, proxy=None, additional_headers=bearer("wrong"), open_timeout=PATIENCE_S)
    for first in (
        json.dumps({"type": "auth", "token": "wrong"}),
        json.dumps({"type": "auth"}),
        "[]",
        "x",
        "[" * 9000,
        "[" * 4000,
        b"\xff",
    ):
        with connect(panel.websocket + f"?token={TOKEN}", proxy=None, open_timeout=PATIENCE_S) as link:
            refused_after(link, first)


def refused_after(link, first) -> None:
    link.send(first)
    with pytest.raises(ConnectionClosed) as ended:
        link.recv(PATIENCE_S)
    assert ended.value.rcvd.code == 4401


def test_a_listener_that_says_too_much_is_let_go(panel):
    with listening(panel) as link:
        link.send("x" * 5000)
        with pytest.raises(ConnectionClosed) as ended:
            heard(link, 1)
    assert ended.value.rcvd.code == 1009


def test_a_listener_that_does_not_read_is_let_go_and_nobody_else_notices(panel, own):
    hub = panel.app.state.hub
    with listening(panel, "?kind=alert") as reader, closing(a_connection_that_never_reads(panel)):
        until(lambda: hub.listeners == 2)
        dropped = hub.dropped
        with own.transaction() as cur:
            cur.execute(
                "INSERT INTO alerts (at, event, title, body) SELECT now(), 'entry', 'number ' || n, repeat('x', 9000)"
                " FROM generate_series(1, 1500) AS n"
            )
        found = heard(reader, 1500)
        assert [e["data"]["title"] for e in found] == [f"number {n}" for n in range(1, 1501)]
        assert [e["prev"] for e in found[1:]] == [e["seq"] for e in found[:-1]]
        until(lambda: hub.dropped == dropped + 1)
        until(lambda: hub.listeners == 1)


def a_connection_that_never_reads(panel) -> socket.socket:
    """A websocket by hand, with a small buffer: it proves itself and then never takes a byte from the line."""
    host, _, port = panel.base.removeprefix("http://").partition(":")
    link = socket.socket()
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    link.connect((host, int(port)))
    link.sendall(
        f"GET {API}/events HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {b64encode(bytes(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: Bearer {TOKEN}\r\n\r\n".encode()
    )
    assert b" 101 " in link.recv(200)
    return link


def until(condition, seconds: float = PATIENCE_S) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


# --- the parts ---------------------------------------------------------------------------------------------------------


def happened(count: int) -> list[Happened]:
    return [Happened("baseline", "alert", NOON, {"n": n}) for n in range(count)]


def test_what_is_too_old_is_said_to_be_lost():
    stream = Stream()
    stream.add(happened(KEPT + 10))
    assert stream.after(10, 5)[1] is False
    assert stream.after(9, 5)[1] is True
    assert [e.seq for e in stream.after(9, 2)[0]] == [11, 12]
    assert stream.after(stream.last, 5) == ([], False)
    assert stream.after(stream.last + 5, 5) == ([], False)


def test_a_look_that_fails_leaves_everything_for_the_next(database):
    watch, store = Watch(), PostgresStore(database)
    assert watch.look(database) == []
    enter(store, "AAA-USDT")

    class Broken:
        variant = database.variant

        def __getattr__(self, name):
            return getattr(database, name)

        def transaction(self, **options):
            if self.left == 0:
                raise ConnectionError("lost")
            self.left -= 1
            return database.transaction(**options)

    for left in range(1, 5):
        broken = Broken()
        broken.left = left
        with pytest.raises(ConnectionError):
            watch.look(broken)
    assert {h.kind for h in watch.look(database)} == {"protection", "position_opened"}
    assert watch.look(database) == []


def test_another_database_in_the_place_of_the_old_one_is_begun_anew(database, new_database, migrated_template):
    watch = Watch()
    store = PostgresStore(database)
    for n in range(5):
        store.pause(at=NOON, actor="eva", reason=str(n))
        store.resume(at=NOON, actor="eva", reason=str(n))
    watch.look(database)
    fresh = new_database("baseline", migrated_template)
    assert watch.look(fresh) == []
    PostgresStore(fresh).pause(at=NOON, actor="eva", reason="x")
    assert {h.kind for h in watch.look(fresh)} == {"act", "breaker"}
    fresh.close()


# --- transactions that commit in another order than they took their numbers ---------------------------------------------

ACT = "INSERT INTO operator_acts (at, actor, act, reason) VALUES (now(), 'eva', 'pause', %s)"


@contextmanager
def two_links(database):
    with closing(database.connect()) as first, closing(database.connect()) as second:
        yield first, second


def reasons(found: list[Happened]) -> list[str]:
    return [h.data["reason"] for h in found if h.kind == "act"]


def write(link, reason: str) -> None:
    with link.cursor() as cur:
        cur.execute(ACT, (reason,))


def test_who_commits_late_is_told_late_once_and_by_its_own_number(panel, own):
    with listening(panel, "?kind=act") as link, two_links(own) as (first, second):
        write(first, "took its number first")
        write(second, "committed first")
        second.commit()
        (early,) = heard(link, 1)
        first.commit()
        (late,) = heard(link, 1)
        write(second, "the last")
        second.commit()
        (last,) = heard(link, 1)
    assert [e["data"]["reason"] for e in (early, late, last)] == [
        "committed first", "took its number first", "the last",
    ]  # fmt: skip
    assert int(late["data"]["id"]) < int(early["data"]["id"])
    assert (late["prev"], last["prev"]) == (early["seq"], late["seq"])


def test_whoever_writes_when_the_stream_begins_is_told_too(database):
    watch = Watch()
    with two_links(database) as (first, second):
        write(first, "began before the stream")
        write(second, "was there before the stream")
        second.commit()
        assert watch.look(database) == []
        first.commit()
        assert reasons(watch.look(database)) == ["began before the stream"]
        assert watch.look(database) == []


def test_a_position_that_is_committed_late_is_told_though_it_is_closed_already(database):
    watch = Watch()
    watch.look(database)
    with two_links(database) as (first, second):
        number = position(first, "AAA-USDT")
        with first.cursor() as cur:
            cur.execute("UPDATE micro_positions SET status = 'closed', closed_at = now() WHERE id = %s", (number,))
        later = position(second, "BBB-USDT")
        second.commit()
        assert [(h.kind, h.data["id"]) for h in watch.look(database)] == [("position_opened", str(later))]
        first.commit()
        assert [(h.kind, h.data["id"]) for h in watch.look(database)] == [
            ("position_opened", str(number)), ("position_closed", str(number)),
        ]  # fmt: skip
    assert watch.look(database) == []


def position(link, symbol: str) -> int:
    with link.cursor() as cur:
        cur.execute(
            "INSERT INTO micro_positions (symbol, qty, entry_price, variant_id) VALUES (%s, 1, 1, 'baseline') RETURNING id",
            (symbol,),
        )
        number: int = cur.fetchone()[0]
        return number


def test_a_number_that_nobody_took_is_given_up_once_all_who_might_have_are_gone(database, monkeypatch):
    monkeypatch.setattr("sigil_ext.services.event_marks.SETTLED_AFTER_S", 0.0)
    watch = Watch()
    watch.look(database)
    with two_links(database) as (first, second):
        write(first, "undone")
        write(second, "stays")
        second.commit()
        assert reasons(watch.look(database)) == ["stays"]
        watch.look(database)
        assert watch.passed_over("acts") == 1
        first.rollback()
        watch.look(database)
        assert watch.passed_over("acts") == 0


def test_numbers_that_were_passed_over_are_asked_for_until_they_came_or_cannot_come():
    mark = Mark(10).read([12, 15, 11])
    assert (mark.last, mark.unread()) == (15, "{[13,14],[16,)}")
    mark = mark.dated(500, 0.0).read([13, 20])
    assert mark.unread() == "{[14,14],[16,19],[21,)}"
    mark = mark.settled(oldest_running=499, now_s=1e6)
    assert mark.unread() == "{[14,14],[16,19],[21,)}"
    assert mark.settled(oldest_running=500, now_s=SETTLED_AFTER_S / 2) == mark
    assert mark.settled(oldest_running=500, now_s=SETTLED_AFTER_S).unread() == "{[16,19],[21,)}"
    assert Mark(0).read(range(2, 4 * MOST_GAPS, 2)).unread().count("[") == MOST_GAPS + 1
    assert Mark(0).read([5]).read([3]).unread() == "{[1,2],[4,4],[6,)}"
