"""Who may not, cannot: every route without a token, acts with a token that reads, requests of other sites, and whatever may
be typed into an address. Nothing of the inside stands in any answer."""

from __future__ import annotations

import json
import re
import tempfile
import urllib.parse

import httpx
import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_schema_conformance,
    status_code_conformance,
)

from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.entrypoints.panel.limits import Limits
from sigil_ext.entrypoints.panel.rates import Rate
from tests.panel_server import ACT_TOKEN, API, PASSWORD, TOKEN, bearer, serving, write_env

from .conftest import RECORDED, ROOT, address_of, new_home

EXAMPLES = 12
ACT = "/variants/baseline/acts/pause"
INSIDE = re.compile(
    r"Traceback|psycopg|SELECT |site-packages|a-secret-password|127\.0\.0\.1:\d|\.py\b|storage/"
    + "".join(f"|{re.escape(str(folder))}" for folder in (ROOT, tempfile.gettempdir()))
)


def routes(panel):
    """Every route of the API with its parameters filled in."""
    values = {"variant": "baseline", "number": "1", "run_id": "grid-20260105T120000Z-ab12", "name": "pause"}
    for route in panel.app.routes:
        if getattr(route, "methods", None) and route.path.startswith(API):
            for method in route.methods:
                yield method, re.sub(r"{(\w+)}", lambda m: values[m[1]], route.path)


def breaker(own):
    return PostgresStore(own).breaker()


@pytest.mark.parametrize(
    "headers",
    [
        {}, bearer("wrong"), {"Authorization": "Bearer"}, bearer(PASSWORD), {"Authorization": TOKEN}, {"Authorization": f"Basic {TOKEN}"},
        bearer(TOKEN + "x"), bearer(TOKEN[:-1]), {"Cookie": "sigil_session=1.2.3"}, {"X-Api-Key": TOKEN},
    ],
)  # fmt: skip
def test_no_route_answers_without_a_valid_token(panel, headers):
    asked = list(routes(panel))
    assert len(asked) > 30
    for method, path in asked:
        answer = panel.client.request(method, path, headers=headers, json={"reason": "x"} if method == "POST" else None)
        assert answer.status_code == 401, (method, path, answer.text)
        assert answer.headers["www-authenticate"] == "Bearer"
        if method != "HEAD":
            assert set(answer.json()) == {"error", "meta"}


def test_a_token_in_the_address_is_no_token(panel):
    for name in ("token", "access_token", "authorization", "api_key"):
        assert panel.get("/variants", token=None, params={name: TOKEN}).status_code == 401


def test_where_no_token_is_configured_none_is_accepted(settings_of_nobody, own, tmp_path):
    home = new_home(tmp_path)
    write_env(home, {"baseline": address_of(own)}, tokens=False)
    with serving(home) as panel:
        for token in (None, "None", TOKEN):
            answer = panel.get("/variants", token=token)
            assert answer.status_code == 401
            assert "SIGIL_API_TOKEN" in answer.json()["error"]["message"]
        # Nor for Prometheus, not even from this machine: a proxy on it looks just the same.
        assert panel.get("/sigil/metrics", token=None).status_code == 401
        with panel.logged_in() as person:
            assert person.get("/sigil/metrics").status_code == 200


def test_figures_need_a_token_where_one_is_configured(panel):
    assert panel.get("/sigil/metrics", token=None).status_code == 401
    assert panel.get("/sigil/metrics").status_code == 200


def test_a_token_that_reads_does_not_act(panel, own):
    answer = panel.post(ACT, {"reason": "no"}, token=TOKEN)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "read_only")
    assert not breaker(own).paused


def test_an_act_is_recorded_with_who_and_why(panel, own):
    assert panel.post(ACT, {"reason": "  a visit  "}).status_code == 200
    assert breaker(own).paused
    assert panel.post(ACT, {"reason": "again"}).status_code == 409
    assert panel.post("/variants/baseline/acts/resume", {"reason": "back"}).json()["data"]["by"] == "api@127.0.0.1"
    newest = panel.get("/acts", params={"variant": "baseline", "limit": 2}).json()["data"]
    assert [(a["act"], a["actor"], a["reason"]) for a in newest] == [
        ("resume", "api@127.0.0.1", "back"), ("pause", "api@127.0.0.1", "a visit"),
    ]  # fmt: skip
    assert not breaker(own).paused


@pytest.mark.parametrize("act", ["pause", "resume", "trip", "reset", "flatten", "lift", "ban", "close"])
@pytest.mark.parametrize("reason", [None, "", "   ", "\x00", "\x1b[2J", "x" * 501, 7, ["a"], {"a": 1}])
def test_no_act_without_a_reason_in_plain_words(panel, act, reason):
    body = {} if reason is None else {"reason": reason, "symbol": "TST-USDT"}
    answer = panel.post(f"/variants/baseline/acts/{act}", body)
    assert answer.status_code == 422, answer.text
    assert "reason" in answer.json()["error"]["message"]


def test_acts_upon_a_variant_that_is_away_or_unknown_make_no_database(panel):
    for variant, status in (("moderate", 503), ("aggressive", 503), ("legacy", 404), ("nobody", 404)):
        for act in ("pause", "flatten"):
            assert panel.post(f"/variants/{variant}/acts/{act}", {"reason": "x"}).status_code == status
    assert panel.get("/variants/aggressive").json()["error"]["code"] == "variant_absent"


# --- of other sites --------------------------------------------------------------------------------------------------


@pytest.fixture
def person(panel):
    with panel.logged_in() as client:
        yield client


def csrf_of(client: httpx.Client) -> str:
    found = re.search(r'data-csrf="([0-9a-f]+)"', client.get("/sigil/").text)
    assert found, "the page carries no token for acts"
    return found[1]


def test_a_session_acts_from_its_own_page_with_its_token(panel, person, own):
    answer = person.post(API + ACT, json={"reason": "by hand"}, headers={"X-Sigil-CSRF": csrf_of(person)})
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"]["by"] == "panel@127.0.0.1"
    assert panel.post("/variants/baseline/acts/resume", {"reason": "over"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://127.0.0.1.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "nonsense"},
    ],
)
def test_a_request_of_another_site_does_not_act_though_the_cookie_came_along(panel, person, own, headers):
    token = csrf_of(person)
    answer = person.post(API + ACT, json={"reason": "evil"}, headers={"X-Sigil-CSRF": token} | headers)
    assert answer.status_code in (401, 403), answer.text
    assert not breaker(own).paused
    assert person.get(API + "/variants", headers=headers).status_code == 401
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("token", [None, "", "0" * 64, "ä"])
def test_a_session_without_its_token_does_not_act(panel, person, own, token):
    headers = {} if token is None else {"X-Sigil-CSRF": token.encode()}
    assert person.post(API + ACT, json={"reason": "evil"}, headers=headers).status_code == 403
    assert not breaker(own).paused


def test_a_request_without_an_origin_does_not_act_on_a_cookie(panel, person, own):
    token = csrf_of(person)
    del person.headers["Origin"]
    assert person.post(API + ACT, json={"reason": "evil"}, headers={"X-Sigil-CSRF": token}).status_code == 403
    assert not breaker(own).paused


def test_the_token_of_one_session_is_none_in_another(panel, person, own):
    with panel.logged_in() as other:
        answer = other.post(API + ACT, json={"reason": "evil"}, headers={"X-Sigil-CSRF": csrf_of(person)})
    assert answer.status_code == 403
    assert not breaker(own).paused


def test_a_form_of_another_site_is_no_act(panel, person, own):
    for kind in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"):
        answer = person.post(
            API + ACT, content=b'{"reason": "evil"}', headers={"Content-Type": kind, "X-Sigil-CSRF": csrf_of(person)}
        )
        assert answer.status_code == 422, answer.text
    assert not breaker(own).paused


def test_the_cookie_is_for_this_server_alone_and_a_changed_one_is_none(panel):
    with httpx.Client(base_url=panel.base, trust_env=False, timeout=60) as client:
        cookie = client.post("/sigil/login", json={"password": PASSWORD}).headers["set-cookie"]
        value = client.cookies[panel.cookie]
        assert client.get(API + "/variants").status_code == 200
    for part in ("HttpOnly", "SameSite=strict", "Path=/sigil"):
        assert part in cookie
    end, nonce, signature = value.split(".")
    last = "1" if signature.endswith("0") else "0"
    for other in (f"{int(end) + 1}.{nonce}.{signature}", f"{end}.{nonce}x.{signature}", f"{end}.{nonce}.{signature[:-1]}{last}", f"{nonce}.{signature}"):  # fmt: skip
        assert panel.get("/variants", token=None, headers={"Cookie": f"{panel.cookie}={other}"}).status_code == 401


def test_a_wrong_password_is_refused_and_another_site_logs_nobody_in(panel):
    for body in ({"password": "wrong"}, {"token": "wrong"}, {}, {"password": ""}, {"token": PASSWORD}):
        answer = panel.client.post("/sigil/login", json=body)
        assert answer.status_code == 401, answer.text
        assert "set-cookie" not in answer.headers
    evil = panel.client.post("/sigil/login", json={"password": PASSWORD}, headers={"Origin": "http://evil.example"})
    assert evil.status_code == 403


@pytest.mark.parametrize(
    "place", ["http://evil.example/", "//evil.example", "/sigil/..//evil.example", "/\\evil", "/other", "javascript:1"]
)
def test_the_login_leads_nowhere_else(panel, place):
    page = panel.client.get("/sigil/login", params={"next": place}).text
    assert 'data-next="/sigil/"' in page
    assert "evil" not in page


# --- what may be typed into an address --------------------------------------------------------------------------------

NASTY = (
    "'; DROP TABLE signals; --", "' OR '1'='1", "TST'--", "1;SELECT pg_sleep(30)", "../../../../etc/passwd", "..%2f..%2f.env",
    "%00", "\x00", "<script>alert(1)</script>", "{{7*7}}", "${jndi:ldap://x}", "a" * 5000, "-1", "1e309", "NaN", "\ud7ff",
    "💥", "/" * 40, "\r\nX-Evil: 1", "%s%s%n", "0x7f",
)  # fmt: skip


@pytest.mark.parametrize("value", NASTY)
def test_nothing_that_is_typed_into_an_address_gets_through(panel, own, value):
    for path, names in (
        ("/positions", ("variant", "symbol", "status", "exit_reason", "since", "until", "limit", "cursor")),
        ("/signals", ("reason", "acted")),
        ("/candles", ("variant", "symbol", "timeframe", "limit")),
        ("/equity", ("points",)),
        ("/runs", ("kind",)),
        ("/events", ("after", "stream", "kind")),
    ):
        for name in names:
            given = {"variant": "baseline", "symbol": "TST-USDT"} if path == "/candles" else {}
            answer = panel.get(path, params={**given, name: value})
            assert answer.status_code in (200, 404, 413, 422, 503), (path, name, answer.text)
            assert not INSIDE.search(answer.text.replace(json.dumps(value)[1:-1], "")), answer.text
    for path in (f"/runs/{urllib.parse.quote(value, safe='')}", f"/variants/{urllib.parse.quote(value, safe='')}"):
        answer = panel.get(path)
        assert answer.status_code in (404, 413, 422, 503), (path, answer.text)
    assert PostgresStore(own).signals() == []  # the table stands


@pytest.mark.parametrize(
    "path",
    ["/sigil/static/../app.py", "/sigil/static/%2e%2e/app.py", "/sigil/static/..%2fauth.py", "/sigil/static//etc/passwd",
     "/sigil/static/%2fetc%2fpasswd", "/sigil/static/panel.css%00", "/sigil/static/%00", "/sigil/%00", "/sigil/static/%ff%fe", "/sigil/api/v1/runs/..%2f..%2f.env", "/sigil/research/..%2f..%2f..%2f.env"],
)  # fmt: skip
def test_no_way_leads_out_of_the_folders(panel, path):
    request = panel.client.build_request("GET", panel.base)
    request.url = request.url.copy_with(raw_path=path.encode())
    request.headers.update(bearer(TOKEN))
    answer = panel.client.send(request)
    assert answer.status_code in (303, 404, 422), answer.text
    assert PASSWORD not in answer.text
    assert "import" not in answer.text


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"reason": NaN}', b'{"reason": "x", "variant": "y"}', b'{"reason":"x","hours":1e400}',
     b'{"reason": "x", "symbol": "\\u0000"}', b"[" * 16_000],
)  # fmt: skip
def test_a_body_that_is_none_is_refused_in_the_one_shape(panel, own, content):
    headers = bearer(ACT_TOKEN) | {"Content-Type": "application/json"}
    answer = panel.client.post(API + ACT, content=content, headers=headers)
    assert answer.status_code in (400, 422), answer.text
    assert set(answer.json()["error"]) <= {"code", "message", "field"}
    assert not INSIDE.search(answer.text)
    assert not breaker(own).paused


def test_what_is_too_large_is_refused_before_it_is_read(panel):
    headers = bearer(ACT_TOKEN) | {"Content-Type": "application/json"}
    big = b'{"reason": "' + b"x" * 1_000_000 + b'"}'
    assert panel.client.post(API + ACT, content=big, headers=headers).status_code == 413
    streamed = panel.client.post(API + ACT, content=iter([b"x" * 1000] * 1000), headers=headers)  # no length told
    assert streamed.status_code == 413
    assert panel.get("/positions", params={"symbol": "x" * 9000}).status_code in (413, 422)


def test_errors_say_nothing_of_the_inside(panel):
    for path in (
        "/variants/moderate",
        "/positions?variant=moderate",
        "/universe/aggressive/1",
        "/runs/grid-x",
        "/nothing",
        "/system",
    ):
        answer = panel.get(path)
        assert not INSIDE.search(answer.text), answer.text
        assert "eva" not in answer.text


# --- limits ----------------------------------------------------------------------------------------------------------


def test_whoever_asks_too_often_waits_and_others_do_not(settings_of_nobody, own, tmp_path):
    home = new_home(tmp_path)
    write_env(home, {"baseline": address_of(own)})
    few = Limits(requests_a_minute=1, burst=5, strangers_a_minute=1, strangers_burst=8, logins_a_minute=3)
    with serving(home, few) as panel:
        codes = [panel.get("/system").status_code for _ in range(8)]
        assert codes == [200] * 5 + [429] * 3
        refused = panel.get("/system")
        assert int(refused.headers["retry-after"]) > 0
        assert refused.json()["error"]["code"] == "too_many_requests"
        assert panel.get("/system", token=ACT_TOKEN).status_code == 200  # another caller
        logins = [panel.client.post("/sigil/login", json={"password": "guess"}).status_code for _ in range(5)]
        assert logins == [401] * 3 + [429] * 2
        # A new token for each guess helps nobody: strangers are counted by address.
        guesses = [panel.get("/system", token=f"guess-{n}").status_code for n in range(12)]
        assert guesses[-1] == 429
        assert panel.client.get("/sigil/static/login.js").status_code == 200


def test_a_bucket_fills_again_with_time_and_forgets_who_was_there_longest_ago():
    rate = Rate(a_minute=60, burst=2, kept=3)
    assert [rate.wait_s("a", 0.0) for _ in range(3)] == [0.0, 0.0, 1.0]
    assert rate.wait_s("a", 0.5) == 0.5
    assert rate.wait_s("a", 1.0) == 0.0
    for caller in "bcd":
        rate.wait_s(caller, 1.0)
    assert rate.wait_s("a", 1.0) == 0.0  # forgotten, so new


# --- whatever else -----------------------------------------------------------------------------------------------------


def test_nothing_that_the_document_allows_or_forbids_is_an_error_of_the_server(panel):
    document = panel.get("/openapi.json").json()
    # What closes positions starts a process for each; it has tests of its own.
    schema = schemathesis.openapi.from_dict(document).exclude(path_regex="/acts/", method="POST")
    checks = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]
    seen = set()
    for found in schema.get_all_operations():
        operation = found.ok()

        @hypothesis.given(case=operation.as_strategy())
        @hypothesis.settings(
            max_examples=EXAMPLES, derandomize=True, database=None, deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )  # fmt: skip
        def holds(case):
            answer = case.call(base_url=panel.base, headers=bearer(TOKEN))
            case.validate_response(answer, checks=checks, excluded_checks=[ignored_auth])
            assert not INSIDE.search(answer.text)

        holds()
        seen.add(operation.path)
    assert len(seen) > 25
    assert f"{API}/candles" in seen
    assert RECORDED in panel.get("/variants").text


def test_guessing_from_an_address_locks_nobody_out_who_was_let_in_there(settings_of_nobody, own, tmp_path):
    home = new_home(tmp_path)
    write_env(home, {"baseline": address_of(own)})
    few = Limits(strangers_a_minute=1, strangers_burst=5)
    with serving(home, few) as panel, panel.logged_in() as person:
        assert person.get(API + "/system").status_code == 200
        assert panel.get("/system").status_code == 200
        guesses = [panel.get("/system", token=f"guess-{n}").status_code for n in range(9)]
        assert guesses[-1] == 429
        assert person.get(API + "/system").status_code == 200
        assert person.get("/sigil/").status_code == 200
        assert panel.get("/system").status_code == 200
        assert panel.client.get("/sigil/login").status_code == 200
        assert (
            panel.get("/system", token=ACT_TOKEN).status_code == 429
        )  # right, but not known yet: a guess like any other


def test_what_other_sites_make_a_browser_ask_for_slows_its_owner_down_in_nothing(settings_of_nobody, own, tmp_path):
    home = new_home(tmp_path)
    write_env(home, {"baseline": address_of(own)})
    few = Limits(requests_a_minute=1, burst=5, strangers_a_minute=1, strangers_burst=5, logins_a_minute=3)
    elsewhere = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
    with serving(home, few) as panel:
        for path in ("/sigil/", "/sigil/login", API + "/system"):
            for _ in range(9):
                panel.client.get(path, headers=elsewhere)
        assert panel.client.get(API + "/system", headers=elsewhere).status_code == 429
        for _ in range(9):
            answer = panel.client.post("/sigil/login", json={"password": "x"}, headers=elsewhere)
        assert answer.status_code == 429
        with panel.logged_in() as person:
            assert person.get("/sigil/").status_code == 200
        assert panel.get("/system").status_code == 200
