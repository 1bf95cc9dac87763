"""The stream of events: numbers without a hole, a gap that shows and can be fetched, and a listener that does not read."""

from __future__ import annotations

import json
import socket
import time
from base64 import b64encode
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from sigil_ext.db.heartbeat import Heartbeat
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.rules.types import Entry, Exit
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
        cookie = {"Cookie": f"sigil_session={person.cookies['sigil_session']}"}
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
