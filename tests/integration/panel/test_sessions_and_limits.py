"""Sessions that end, guesses that are slowed down whichever way they come, and requests that say what is wrong with them.

Each panel here serves baseline alone: nothing of this needs a session's record.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from contextlib import ExitStack

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.entrypoints.panel import closing
from sigil_ext.entrypoints.panel.auth import Keys
from sigil_ext.entrypoints.panel.limits import Limits
from sigil_ext.entrypoints.panel.sessions import own_key
from sigil_ext.errors import SettingsError
from sigil_ext.settings.project import Project
from tests.panel_server import ACT_TOKEN, API, PASSWORD, TOKEN, bearer, serving, write_env

from .conftest import address_of, new_home

PATIENCE_S = 60


def socket(panel, **more):
    return connect(panel.websocket + more.pop("query", ""), proxy=None, open_timeout=PATIENCE_S, **more)


def proof(token: str) -> str:
    return json.dumps({"type": "auth", "token": token})


def closed_with(link) -> int:
    """Return the code that a websocket is closed with."""
    try:
        while True:
            link.recv(PATIENCE_S)
    except ConnectionClosed as ended:
        return ended.rcvd.code


# --- guesses -----------------------------------------------------------------------------------------------------------


def test_wrong_tokens_over_the_websocket_are_slowed_down_like_those_of_requests(home):
    few = Limits(strangers_a_minute=1, strangers_burst=4)
    with serving(home, few) as panel:
        for n in range(2):
            with socket(panel) as link:
                link.send(proof(f"guess-{n}"))
                assert closed_with(link) == 4401
        for n in range(2):
            with pytest.raises(InvalidStatus) as refused:
                socket(panel, additional_headers=bearer(f"guess-{n}"))
            assert refused.value.response.status_code == 403
        for headers in ({}, bearer("guess"), bearer(TOKEN)):
            with pytest.raises(InvalidStatus) as refused:
                socket(panel, additional_headers=headers)
            assert refused.value.response.status_code == 429
            assert int(refused.value.response.headers["Retry-After"]) > 0
        assert panel.get("/system").status_code == 429


def test_a_session_and_a_long_token_are_looked_at_before_the_guesses_of_others(settings_of_nobody, own, tmp_path):
    home, long_token = new_home(tmp_path), "5" * 64
    write_env(home, {"baseline": address_of(own)})
    home.env_file.write_text(home.env_file.read_text().replace(TOKEN, long_token))
    few = Limits(strangers_a_minute=1, strangers_burst=3)
    with serving(home, few) as before, before.logged_in() as person:
        cookie = {"Cookie": f"{before.cookie}={person.cookies[before.cookie]}"}
    with serving(home, few) as panel:  # started anew: it remembers nobody
        assert [panel.get("/system", token=f"{n}" * 64).status_code for n in (1, 2, 3, 4)] == [401] * 3 + [429]
        assert panel.get("/system", token=None, headers=cookie).status_code == 200
        assert panel.get("/system", token=long_token).status_code == 200
        assert panel.get("/system", token=ACT_TOKEN).status_code == 429  # short: it may be a guess


def test_websockets_that_prove_nothing_are_counted_and_leave_room_for_those_that_do(home):
    with serving(home, Limits(unproven_sockets=3)) as panel, ExitStack() as open_ones:
        links = [open_ones.enter_context(socket(panel)) for _ in range(3)]
        with pytest.raises(InvalidStatus) as refused:
            socket(panel)
        assert refused.value.response.status_code == 429
        with socket(panel, additional_headers=bearer(TOKEN)) as known:  # proved at once
            assert json.loads(known.recv(PATIENCE_S))["type"] == "hello"
        # What pages of other sites open is counted apart.
        with socket(panel, origin="http://evil.example"):
            pass
        links[0].send(proof(TOKEN))
        assert json.loads(links[0].recv(PATIENCE_S))["type"] == "hello"
        with socket(panel):  # its place is free now
            pass


def test_many_listeners_may_come_at_once_with_one_token(home):
    with serving(home, Limits(requests_a_minute=1, burst=2)) as panel, ExitStack() as open_ones:
        for _ in range(5):
            link = open_ones.enter_context(socket(panel, additional_headers=bearer(TOKEN)))
            assert json.loads(link.recv(PATIENCE_S))["type"] == "hello"


def test_a_person_is_told_on_a_page_to_wait(home):
    with serving(home, Limits(requests_a_minute=1, burst=1)) as panel:
        panel.client.get("/sigil/login")
        answer = panel.client.get("/sigil/login", headers={"Accept": "text/html"})
        assert (answer.status_code, answer.headers["content-type"]) == (429, "text/html; charset=utf-8")
        assert int(answer.headers["retry-after"]) > 0


# --- sessions ----------------------------------------------------------------------------------------------------------


def test_a_logout_ends_the_session_for_every_copy_of_its_cookie(home, small):
    with small.logged_in() as person, small.logged_in() as other:
        copy = {"Cookie": f"{small.cookie}={person.cookies[small.cookie]}"}
        assert small.get("/system", token=None, headers=copy).status_code == 200
        assert person.post("/sigil/logout").status_code == 303
        assert small.get("/system", token=None, headers=copy).status_code == 401
        assert other.get(API + "/system").status_code == 200
    with serving(home) as again:  # also once it was started anew
        assert again.get("/system", token=None, headers=copy).status_code == 401


def test_a_logout_of_another_site_or_with_a_wrong_cookie_ends_nothing(home, small):
    with small.logged_in() as person:
        assert person.post("/sigil/logout", headers={"Origin": "http://evil.example"}).status_code == 403
        value = person.cookies[small.cookie]
        before = set((home.storage / "panel").rglob("*"))
        for wrong in (value[:-1], "../../x.y.z", "1.2.3"):
            small.client.post("/sigil/logout", headers={"Cookie": f"{small.cookie}={wrong}"})
        assert set((home.storage / "panel").rglob("*")) == before
        assert person.get(API + "/system").status_code == 200


def test_ended_sessions_are_forgotten_once_their_cookie_would_have_ended_too(tmp_path):
    keys = Keys(Project(tmp_path, tmp_path / "storage"), PASSWORD, None, None)
    ended = tmp_path / "storage" / "panel" / "ended"
    ended.mkdir()
    (ended / f"{int(time.time()) - 5}.old").touch()
    cookie = keys.new_session()
    keys.end_session(cookie)
    assert keys.session(cookie) is None
    assert [place.name for place in ended.iterdir()] == [cookie.rpartition(".")[0]]


def test_a_listener_is_let_go_when_its_session_ends(small, monkeypatch):
    monkeypatch.setattr("sigil_ext.entrypoints.panel.api.stream.HEARTBEAT_S", 0.2)
    with small.logged_in() as person:
        cookie = {"Cookie": f"{small.cookie}={person.cookies[small.cookie]}"}
        with socket(small, additional_headers=cookie, origin=small.base) as link:
            assert json.loads(link.recv(PATIENCE_S))["type"] == "hello"
            person.post("/sigil/logout")
            assert closed_with(link) == 4401


def test_the_key_of_sessions_is_whole_or_made_anew_and_one_for_all(tmp_path):
    project = Project(tmp_path, tmp_path / "storage")
    folder = tmp_path / "storage" / "panel"
    folder.mkdir(parents=True)
    path = folder / "session.key"
    for broken in (b"", b"x" * 31, b"x" * 33):
        path.write_bytes(broken)
        key = own_key(project)
        assert len(key) == 32
        assert path.read_bytes() == key == own_key(project)
        assert path.stat().st_mode & 0o777 == 0o600
    path.unlink()
    found, threads = [], [threading.Thread(target=lambda: found.append(own_key(project))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {path.read_bytes()}
    path.unlink()
    path.mkdir()
    with pytest.raises(SettingsError, match="cannot keep the key"):
        own_key(project)


def test_a_key_that_could_not_be_written_is_not_taken(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device", "session.new")

    project = Project(tmp_path, tmp_path / "storage")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SettingsError, match="No space left"):
        own_key(project)
    assert not (tmp_path / "storage" / "panel" / "session.key").exists()
    monkeypatch.undo()
    assert len(own_key(project)) == 32


def test_a_long_password_logs_in_too(settings_of_nobody, own, tmp_path):
    home = new_home(tmp_path)
    write_env(home, {"baseline": address_of(own)})
    long = "pass word " * 60
    home.env_file.write_text(home.env_file.read_text().replace(PASSWORD, long))
    with serving(home) as panel:
        assert panel.client.post("/sigil/login", json={"password": long}).status_code == 200


# --- requests that say what is wrong with them -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name", "said"),
    [
        ("/positions?symbols=x", "symbols", "exit_reason"),
        ("/variants?nonsense=1", "nonsense", "there is: variant"),
        ("/system?variant=baseline", "variant", "takes none"),
        ("/candles?Variant=baseline", "Variant", "timeframe"),
        ("/openapi.json?x=", "x", "takes none"),
        ("/trades?since=2026-01-06&until=2026-01-05", "until", "2026-01-05 00:00 UTC is before since"),
        *[
            (f"/{path}?symbol=TST-USDT", "symbol", "there is: ")
            for path in ("audits", "universe/scans", "alerts", "probes")
        ],
        ("/events?kind=position_opend", "kind.0", "did you mean 'position_opened'?"),
    ],
)
def test_a_parameter_that_is_unknown_or_cannot_be_is_refused_with_what_can(small, path, name, said):
    error = small.get(path)
    assert error.status_code == 422, error.text
    assert error.json()["error"]["field"] == name
    assert said in error.json()["error"]["message"]
    assert small.get(path, token=None).status_code == 401


def test_acts_and_listeners_take_no_unknown_parameters_either(small, own):
    assert small.post("/variants/baseline/acts/pause?dry=1", {"reason": "x"}).status_code == 422
    assert not PostgresStore(own).breaker().paused
    with socket(small, query="?variants=baseline", additional_headers=bearer(TOKEN)) as link:
        assert closed_with(link) == 4422


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("?variant=baselin", "unknown variant 'baselin'; did you mean 'baseline'?"),
        ("?kind=act&kind=position_opend", "there is no kind 'position_opend'; did you mean 'position_opened'?"),
        ("?kind=" + "%F0%9F%92%A5" * 60, "there is no kind '💥"),
        ("?after=41", "stream and after go together"),
        ("?stream=9f2c", "stream and after go together"),
        *[(f"?stream=9f2c&after={after}", "after: has to be the number") for after in ("-1", "1" + "0" * 30, "x", "")],
    ],
)
def test_a_listener_who_would_hear_nothing_for_ever_or_miss_some_is_told_so(small, query, said):
    with socket(small, query=query, additional_headers=bearer(TOKEN)) as link, pytest.raises(ConnectionClosed) as ended:
        link.recv(PATIENCE_S)
    assert ended.value.rcvd.code == 4422
    assert ended.value.rcvd.reason.startswith(said)


def test_events_of_a_variant_that_is_unknown_are_no_empty_list(small):
    answer = small.get("/events?variant=nope")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_variant")


@pytest.mark.parametrize(
    ("content", "field", "said"),
    [
        (b"{", "body", "body: is not JSON"),
        (b"", "body", "body: is empty; it has to be a JSON object"),
        (b"{}", "reason", "reason: field required"),
        (b'{"reason": "x"}', "symbol", "symbol: field required"),
        ('{"symbol": "TST-USDT", "reason": "fine \u202eltr"}'.encode(), "reason", "direction of writing"),
    ],
)
def test_a_body_that_is_wrong_is_refused_with_what_is_wrong(small, content, field, said):
    headers = bearer(ACT_TOKEN) | {"Content-Type": "application/json"}
    answer = small.client.post(f"{API}/variants/baseline/acts/ban", content=content, headers=headers)
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["field"] == field
    assert said in answer.json()["error"]["message"]


@pytest.fixture
def no_process(monkeypatch):
    async def never(*_):
        raise AssertionError("a process was started")

    monkeypatch.setattr("sigil_ext.entrypoints.panel.api.acts.close_apart", never)


@pytest.mark.parametrize("act", ["pause", "resume", "trip", "reset", "flatten", "close", "lift", "ban"])
def test_an_act_refuses_what_it_would_not_use(small, own, no_process, act):
    of_a_symbol = act in ("close", "lift", "ban")
    taken = {"reason": "close only ACH"} | ({"symbol": "ACH-USDT"} if of_a_symbol else {})
    wrong = [("when", None, "not permitted")]
    if not of_a_symbol:
        wrong.append(("symbol", "ACH-USDT", "this act takes none; close, ban and lift do"))
    if act != "ban":
        wrong.append(("hours", 5, "this act takes none; ban does"))
    before = acts_of(own)
    for field, value, said in wrong:
        answer = small.post(f"/variants/baseline/acts/{act}", taken | {field: value})
        assert answer.status_code == 422, answer.text
        assert answer.json()["error"]["field"] == field
        assert said in answer.json()["error"]["message"]
    assert acts_of(own) == before


def acts_of(database) -> int:
    with database.transaction() as cur:
        cur.execute("SELECT count(*) FROM operator_acts")
        return cur.fetchone()[0]


def test_null_is_as_good_as_left_out(small, no_process):
    body = {"reason": "the end of the day", "symbol": None, "hours": None}
    answer = small.post("/variants/baseline/acts/flatten", body)
    assert (answer.status_code, answer.json()["data"]["outcome"]) == (200, "nothing was open")


def test_an_act_that_there_is_not_is_answered_with_those_there_are(small):
    answer = small.post("/variants/baseline/acts/flaten", {"reason": "x"})
    assert answer.status_code == 404
    assert "flatten" in answer.json()["error"]["message"]
    assert small.post("/variants/baseline/acts/flaten", {"reason": "x"}, token=None).status_code == 401


def test_the_document_says_of_each_act_what_its_body_takes(small):
    document = small.get("/openapi.json").json()
    takes = {}
    for path, by in document["paths"].items():
        if "/acts/" in path:
            name = by["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            body = document["components"]["schemas"][name]
            assert body["additionalProperties"] is False
            real = {field for field, schema in body["properties"].items() if schema.get("type") != "null"}
            takes[path.rpartition("/")[2]] = (real, set(body["required"]))
    of_all, of_one = ({"reason"}, {"reason"}), ({"reason", "symbol"}, {"reason", "symbol"})
    assert takes == {
        **dict.fromkeys(("pause", "resume", "trip", "reset", "flatten"), of_all), "close": of_one, "lift": of_one,
        "ban": ({"reason", "symbol", "hours"}, {"reason", "symbol"}),
    }  # fmt: skip


def test_to_flatten_nothing_is_answered_without_a_process(small, no_process):
    answer = small.post("/variants/baseline/acts/flatten", {"reason": "the end of the day"})
    assert (answer.status_code, answer.json()["data"]["outcome"]) == (200, "nothing was open")


def test_why_a_process_that_closes_ended_without_an_answer_stands_in_the_servers_log(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(closing, "MODULE", "sigil_ext.no_such_module")
    order = closing.Order("baseline", None, "kill_switch", "the end", "panel@here")
    with pytest.raises(closing.ClosingFailed, match="the server's log says why"):
        asyncio.run(closing.close_apart(Project(tmp_path, tmp_path / "storage"), order))
    assert "positions of baseline ended with status 1" in caplog.text
    assert "No module named sigil_ext.no_such_module" in caplog.text


def test_the_login_page_leads_on_whoever_is_logged_in(small):
    with small.logged_in() as person:
        answer = person.get("/sigil/login", params={"next": "/sigil/variant/baseline"}, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/sigil/variant/baseline")
    assert httpx.get(f"{small.base}/sigil/login", trust_env=False).status_code == 200
