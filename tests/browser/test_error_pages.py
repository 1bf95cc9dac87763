"""Errors as people read them: a page with a sentence, and JSON for a script or program that asks the same."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from sigil_ext.entrypoints.panel.limits import Limits
from sigil_ext.entrypoints.panel.pages import research
from sigil_ext.services import shelf
from sigil_ext.settings.project import Project
from tests.panel_server import Panel, serving, write_env

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path, tmp_path / "storage")
    write_env(made, {})
    return made


@pytest.fixture
def panel(project: Project) -> Iterator[Panel]:
    with serving(project, Limits(requests_a_minute=1, burst=2)) as running:
        yield running


def is_a_page(answer: httpx.Response, status: int, sentence: str) -> bool:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert sentence in answer.text
    return "<main" in answer.text


def test_too_many_requests_are_told_to_a_person_as_a_page_and_to_a_program_as_json(panel: Panel):
    for _ in range(2):
        assert panel.get("/sigil/login", token=None).status_code == 200
    answer = panel.get("/sigil/operations", token=None, headers=BROWSER)
    assert is_a_page(answer, 429, "too many requests; wait")
    assert int(answer.headers["Retry-After"]) > 0
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    for path, more in (
        ("/system", BROWSER),
        ("/sigil/data/equity", {}),
        ("/sigil/operations", {"Accept": "application/json"}),
    ):
        asked = panel.get(path, token=None, headers=more)
        assert asked.status_code == 429
        assert asked.json()["error"]["code"] == "too_many_requests"


def test_a_form_that_is_refused_is_told_as_a_page(panel: Panel):
    foreign = {"Origin": "http://elsewhere.example", "Sec-Fetch-Site": "cross-site"}
    assert is_a_page(panel.post("/sigil/logout", token=None, headers=BROWSER | foreign), 403, "a logout must come from")
    assert panel.post("/sigil/logout", token=None, headers=foreign).json()["error"]["code"] == "cross_site"


def test_what_fails_unexpectedly_is_told_as_a_page(project: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shelf, "listing", lambda *_: 1 / 0)
    with serving(project) as running, running.logged_in() as client:
        answer = client.get("/sigil/research", headers=BROWSER)
    assert is_a_page(answer, 500, "went wrong here")
    assert "ZeroDivisionError" not in answer.text
    assert 'data-live-every="0"' in answer.text, "a page of an error does not ask for itself again"


def test_the_shelf_is_headed_by_how_many_results_there_are(project: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(research, "MOST_LISTED", 2)
    now = datetime(2026, 11, 21, tzinfo=UTC)
    for number in range(3):
        shelf.put(project, "backtest", {"a": number}, title=f"run {number}", page=None, now=now)
    with serving(project) as running, running.logged_in() as client:
        shown = client.get("/sigil/research").text
    assert ">3 results<" in shown
    assert "These are the newest 2; 1 older ones are in" in shown
