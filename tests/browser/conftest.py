"""The panel as people meet it: a real paper session in a real PostgreSQL, `sigil panel` in front of it, a real Chromium.

The history is made once: unhinged on two symbols for twenty hours, with two hard stops behind it and two positions open.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, StorageState

from sigil_ext.db import embedded
from sigil_ext.services import shelf
from sigil_ext.settings.project import Project
from tests.panel_in_browser import (
    DESKTOP,
    PASSWORD,
    PATIENCE_MS,
    ROOT,
    TOKEN,
    History,
    PanelProcess,
    Seen,
    chromium,
)


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """Two hard stops, two open positions, an audit, a run of the probe, results on the shelf."""
    root = tmp_path_factory.mktemp("panel")
    for name in ("overlays", "migrations", "strategies", "sample"):
        (root / name).symlink_to(ROOT / name)
    (root / ".env").write_text(f"PASSWORD='{PASSWORD}'\n")
    (root / ".env").chmod(0o600)
    made = History(Project(root, root / "storage"))
    try:
        made.sigil("db", "start")
        made.administer("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        made.sigil(
            "run", "paper", "--variant", "unhinged", "--candles", "sample", "--symbols", "BID-USDT,KNC-USDT",
            "--start", "2025-06-18", "--finish", "2025-06-18T20:00", "--keep-open", "--no-alerts",
        )  # fmt: skip
        made.sigil("migrate", "up", "--variant", "baseline")
        made.sigil("audit", "--variant", "unhinged")
        made.sigil(
            "grid", "--variant", "unhinged", "--axis", "hard_stop.multiplier=1.5,2.5", "--axis", "trail.multiplier=1,2",
            "--candles", "sample", "--symbols", "BID-USDT,KNC-USDT", "--start", "2025-06-18", "--finish", "2025-06-19",
            "--no-verify",
        )  # fmt: skip
        _fill_shelf(made.project)
        yield made
    finally:
        embedded.stop(made.project)


def _fill_shelf(project: Project) -> None:
    document = {
        "variant": "baseline", "candles": {"folder": "sample", "symbols": ["BID-USDT", "<b>KNC</b>"]},
        "figures": {"pnl_usd": -4.79, "trades": 4}, "by_reason": [{"reason": "hard_stop", "trades": 2, "pnl_usd": -4.79}],
    }  # fmt: skip
    page = (
        "<!doctype html><title>saved</title><h1 id=head>A saved page</h1><script>"
        "let said = [];"
        "try { said.push(document.cookie) } catch (e) { said.push('no cookie') }"
        "try { said.push(parent.document.title) } catch (e) { said.push('no parent') }"
        "document.getElementById('head').dataset.said = said.join('; ');"
        "</script>"
    )
    now = datetime(2026, 11, 21, 10, tzinfo=UTC)
    shelf.put(project, "backtest", document, title="baseline on <i>sample</i>", page=page, now=now)
    broken = shelf.put(project, "diagnosis", {"a": 1}, title="broken", page=None, now=now)
    broken.file.unlink()


@pytest.fixture(scope="session")
def panel(history: History) -> Iterator[PanelProcess]:
    """The panel, answering."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    made = PanelProcess(history, port)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium; without one these tests are skipped."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def logged_in(browser: Browser, panel: PanelProcess) -> StorageState:
    """The cookie of one login: the server counts logins, as it should."""
    context = browser.new_context(base_url=panel.base)
    answer = context.request.post("/sigil/login", data={"token": TOKEN})
    assert answer.ok, answer.text()
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def seen() -> Seen:
    """What the browser complains of; a test fails by it."""
    return Seen()


@pytest.fixture
def visit(browser: Browser, panel: PanelProcess, logged_in: StorageState, seen: Seen) -> Iterator[Callable[..., Page]]:
    """Open an address in a fresh browser window: visit("/sigil/", size=PHONE, scheme="dark", as_stranger=True)."""
    contexts: list[BrowserContext] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            seen.complaints.append(f"{message.type}: {message.text} ({message.location.get('url', '')})")

    def open_page(path: str, size: dict[str, int] = DESKTOP, scheme: str = "light", as_stranger: bool = False) -> Page:
        state = None if as_stranger else logged_in
        context = browser.new_context(base_url=panel.base, viewport=size, color_scheme=scheme, storage_state=state)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: seen.complaints.append(f"script: {error}"))
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not seen.unexpected, "the browser complained"
