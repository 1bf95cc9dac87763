"""What the browser tests stand on: a project with a paper session in it, `sigil panel` in a process, what a browser said."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2
import pytest
from playwright.sync_api import Browser, sync_playwright

from sigil_ext.db import embedded, reading
from sigil_ext.db.connection import Database
from sigil_ext.settings.project import Project

ROOT = Path(__file__).resolve().parents[1]
PASSWORD = "the password of the tests"
TOKEN = hashlib.sha256(PASSWORD.encode()).hexdigest()
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
PATIENCE_MS = 60_000

# Every visible text against what is behind it, as WCAG reckons it: 4.5 to 1, for large text 3 to 1.
FAINT_TEXTS = """() => {
  const paint = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgb = (css) => { paint.clearRect(0, 0, 1, 1); paint.fillStyle = css; paint.fillRect(0, 0, 1, 1); return [...paint.getImageData(0, 0, 1, 1).data]; };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => { for (let at = e; at; at = at.parentElement) { const c = rgb(getComputedStyle(at).backgroundColor); if (c[3] === 255) return c; } return [255, 255, 255]; };
  const found = [];
  for (const e of document.body.querySelectorAll('*')) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !e.checkVisibility() || e.closest('.visually-hidden, .skip, [data-chart], option, .away')) continue;
    const style = getComputedStyle(e);
    const [a, b] = [light(rgb(style.color)), light(behind(e))].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if ((a + 0.05) / (b + 0.05) < (large ? 3 : 4.5)) found.push(`${e.localName}.${e.className}: ${e.textContent.trim().slice(0, 40)}`);
  }
  return found;
}"""
UNNAMED_CONTROLS = """() => [...document.querySelectorAll('button, a[href], input, select, textarea, iframe')]
  .filter((e) => !(e.textContent.trim() || e.labels?.length || e.ariaLabel || e.title)).map((e) => e.outerHTML)"""
SCROLLS_SIDEWAYS = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


def find_chromium() -> str | None:
    """Return the browser that `scripts/browser.sh` would name, without installing anything."""
    return next(filter(None, map(shutil.which, (os.environ.get("SIGIL_BROWSER", ""), *NAMES))), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a browser; without one the test is skipped. Not for a whole run: it holds the event loop, which others need."""
    found = find_chromium()
    if found is None:
        pytest.skip("no Chromium here: sh scripts/browser.sh finds or installs one, or name it with SIGIL_BROWSER")
    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=found, args=FLAGS)
        yield started
        started.close()


@dataclass
class History:
    """A project with a paper session in it."""

    project: Project

    def sigil(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command line, which must succeed."""
        line = [sys.executable, "-m", "sigil_ext", *arguments]
        done = subprocess.run(line, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stderr
        return done

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "SIGIL", "POSTGRES", "PG"))}
        return kept | {"SIGIL_HOME": str(self.project.root)}

    def database(self, variant: str = "unhinged") -> Database:
        found = reading.find_database(self.project, variant)
        assert found is not None
        return found

    def administer(self, *statements: str) -> None:
        """Run statements as the server's owner, in no variant's database."""
        address = embedded.running_address(self.project)
        assert address is not None
        with closing(
            psycopg2.connect(
                host=address.host, port=address.port, user=address.user,
                password=address.password.get_secret_value(), dbname="postgres", **embedded.CLIENT_OPTIONS,
            )
        ) as link:  # fmt: skip
            link.autocommit = True
            with link.cursor() as cur:
                for statement in statements:
                    cur.execute(statement)


@dataclass
class PanelProcess:
    """`sigil panel` in a process of its own, on one port for its whole life, so that it can come back."""

    history: History
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        log = self.history.project.root / "panel.log"
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sigil_ext", "panel", "--port", str(self.port)],
                cwd=ROOT, env=self.history.environment, stdout=out, stderr=out,
            )  # fmt: skip
        for _ in range(480):
            assert self.process.poll() is None, log.read_text()
            try:
                with urllib.request.urlopen(f"{self.base}/sigil/login", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.25)
        pytest.fail("the panel did not answer in two minutes: " + log.read_text())

    def stop(self) -> None:
        """Stop it; nobody answers on its port afterwards."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@dataclass
class Seen:
    """What the browser complained of while a test ran."""

    complaints: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()

    def expect(self, *parts: str) -> None:
        """Take complaints that hold one of these words for what the test provokes."""
        self.expected += parts

    @property
    def unexpected(self) -> list[str]:
        return [c for c in self.complaints if not any(part in c for part in self.expected)]
