"""HEAD, as monitoring tools and load balancers ask: what GET answers, without its body, and nothing else is different."""

from __future__ import annotations

import re

import pytest

from sigil_ext.entrypoints.panel.limits import Limits
from tests.panel_server import API, TOKEN, bearer, serving

SAME = ("content-type", "cache-control", "content-security-policy", "location", "www-authenticate", "retry-after")
PAGES = (
    "/sigil",
    "/sigil/",
    "/sigil/login",
    "/sigil/variant/baseline",
    "/sigil/variant/nobody",
    "/sigil/operations",
    "/sigil/none",
)


def asked_with_get(panel):
    values = {"variant": "baseline", "number": "1", "run_id": "grid-20260105T120000Z-ab12"}
    for route in panel.app.routes:
        if "GET" in (getattr(route, "methods", None) or ()) and route.path.startswith((API, "/sigil/metrics")):
            yield re.sub(r"{(\w+)}", lambda m: values[m[1]], route.path)


def alike(client, path, **more):
    whole, head = client.get(path, **more), client.head(path, **more)
    assert head.status_code == whole.status_code, path
    assert head.content == b""
    assert {n: head.headers.get(n) for n in SAME} == {n: whole.headers.get(n) for n in SAME}, path
    return head


def test_head_answers_like_get_on_every_route_of_the_api_with_a_token_and_without(small):
    paths = list(asked_with_get(small))
    assert len(paths) > 25
    seen = {alike(small.client, path, headers=bearer(TOKEN)).status_code for path in paths}
    assert 200 in seen
    assert 405 not in seen
    assert {alike(small.client, path).status_code for path in paths} == {401}


@pytest.mark.parametrize("path", [*PAGES, "/sigil/static/panel.css"])
def test_head_answers_like_get_on_every_page_to_a_stranger_and_to_who_is_logged_in(small, path):
    with small.logged_in() as person:
        alike(person, path, follow_redirects=False)
    alike(small.client, path, follow_redirects=False)


def test_what_only_takes_post_takes_no_head_and_nothing_is_done(small):
    assert small.client.head(f"{API}/variants/baseline/acts/pause", headers=bearer(TOKEN)).status_code == 405
    assert small.client.head("/sigil/logout").status_code == 405


def test_heads_are_counted_by_the_limits_and_by_their_route_in_the_figures(home):
    with serving(home, Limits(requests_a_minute=1, burst=3, strangers_a_minute=1, strangers_burst=2)) as panel:
        guesses = [panel.client.head(f"{API}/variants", headers=bearer(f"{n}")).status_code for n in range(3)]
        assert guesses == [401, 401, 429]
    with serving(home, Limits(requests_a_minute=1, burst=3)) as panel:
        heads = [panel.client.head(f"{API}/variants/baseline", headers=bearer(TOKEN)).status_code for _ in range(2)]
        assert heads == [200, 200]
        figures = panel.get("/sigil/metrics").text
        assert re.search(r'method="HEAD",route="/sigil/api/v1/variants/{variant}"', figures), figures[-2000:]
        assert panel.client.head(f"{API}/variants", headers=bearer(TOKEN)).status_code == 429
