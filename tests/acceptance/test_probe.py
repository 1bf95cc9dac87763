"""`sigil probe` against real processes and a real server: every way to be stale is found, trips, and is told once."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sigil_ext.db import embedded
from sigil_ext.db.connection import Database
from sigil_ext.db.heartbeat import Heartbeat
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.db.queries import fetch
from sigil_ext.services.probe import _all_at_once, probe
from sigil_ext.settings.project import Project
from tests.beating import SCANNER_ENDED

ROOT = Path(__file__).resolve().parents[2]


class Mailbox:
    """A channel that works: it takes what is posted to it, and answers with `status`."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []
        self.status = 200
        box = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                posted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                box.messages.append((posted["title"], posted["message"]))
                self.send_response(box.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Silent: stderr is what the tests look at."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self.server.server_port}/"

    def titles(self) -> list[str]:
        return [title for title, _ in self.messages]


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    box = Mailbox()
    monkeypatch.setenv("SIGIL_ALERT_URLS", box.url)
    thread = threading.Thread(target=box.server.serve_forever)
    thread.start()
    yield box
    box.server.shutdown()
    thread.join()
    box.server.server_close()


class Probed:
    """A project in which baseline has a database of its own, and what a probe finds there."""

    def __init__(self, project: Project, database: Database, sigil: Callable[..., Any]) -> None:
        self.project = project
        self.database = database
        self.store = PostgresStore(database)
        self.heart = Heartbeat(database)
        self._sigil = sigil

    def probe(self, *options: str, status: int | None = None) -> dict[str, Any]:
        """Run the probe on baseline; return what it says of it."""
        document = self.run("--variant", "baseline", *options, status=status)
        return dict(document["variants"]["baseline"])

    def run(self, *options: str, status: int | None = None) -> dict[str, Any]:
        ran = self._sigil("probe", "--json", *options, project=self.project)
        document: dict[str, Any] = json.loads(ran.out)
        assert ran.status == document["exit_status"]
        if status is not None:
            assert ran.status == status, ran.out
        return document

    def execute(self, statement: str, *arguments: Any) -> None:
        with self.database.transaction() as cur:
            cur.execute(statement, arguments)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return fetch(self.database, query)

    def beat(self) -> None:
        """One scan and one minute of a session that began an hour ago."""
        self.execute(
            "INSERT INTO paper_sessions (started_at, settings, symbols, start_ms, warmup)"
            " VALUES (now() - interval '1 hour', '{}', '{}', 0, '') ON CONFLICT DO NOTHING"
        )
        ((session,),) = self.rows("SELECT id FROM paper_sessions WHERE ended_at IS NULL")
        self.heart.scan_started()
        self.heart.scan_ended()
        self.heart.progress(int(time.time() * 1000) - 60_000, session_id=session, feed="exchange")
        self.heart.state("running", session_id=session, feed="exchange")

    def pass_time(self, minutes: float) -> None:
        """Let everything that was written so far be so much older: the database's clock moved, to all who look."""
        shift = timedelta(minutes=minutes)
        self.execute(
            "UPDATE scanner_heartbeat SET last_scan_start = last_scan_start - %s, last_scan_end = last_scan_end - %s,"
            " updated_at = updated_at - %s, last_write = last_write - %s, last_candle = last_candle - %s",
            *[shift] * 5,
        )
        self.execute("UPDATE paper_sessions SET started_at = started_at - %s", shift)

    def alerts(self) -> list[str]:
        return [title for (title,) in self.rows("SELECT title FROM alerts ORDER BY id")]

    def incidents(self) -> list[str]:
        return [key for (key,) in self.rows("SELECT key FROM incidents ORDER BY key")]

    def trips(self) -> list[tuple[str, str]]:
        return [(act.actor, act.reason) for act in self.store.acts() if act.act == "trip"]


@pytest.fixture
def probed(
    empty_project: Project, database: Database, sigil: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Probed:
    monkeypatch.setenv("SIGIL_DATABASE_URL_BASELINE", database.address.url().get_secret_value())
    return Probed(empty_project, database, sigil)


@contextmanager
def beating(probed: Probed, *how: str) -> Iterator[subprocess.Popen[str]]:
    """Run tests/beating.py until the block ends; it has processed a minute when the block begins."""
    child = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "beating.py"), *how],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "SIGIL_HOME": str(probed.project.root), "PYTHONPATH": str(ROOT)},
    )
    assert child.stdout is not None
    drain = threading.Thread(target=child.stdout.read)
    try:
        assert child.stdout.readline().strip() in ("minute", "holding")
        drain.start()  # its pipe must not fill
        wait_until(lambda: (row := probed.heart.read()) is not None and row.last_scan_end is not None)
        yield child
    finally:
        child.kill()
        child.wait()
        if drain.ident is not None:
            drain.join()
        child.stdout.close()


def wait_until(true: Callable[[], bool], limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline, "what the test waits for did not come about"
        time.sleep(0.02)


def kinds(look: dict[str, Any]) -> list[str]:
    return [finding["kind"] for finding in look["findings"]]


# --- processes ----------------------------------------------------------------------------------------------------


def test_a_process_that_scans_and_processes_minutes_is_alive(probed: Probed) -> None:
    with beating(probed) as child:
        probed.pass_time(60)
        moved = probed.heart.read()
        assert moved is not None
        wait_until(
            lambda: (
                (row := probed.heart.read()) is not None
                and row.last_scan_end is not None
                and row.last_write is not None
                and row.now - min(row.last_scan_end, row.last_write) < timedelta(minutes=1)
            )
        )
        look = probed.probe(status=0)
    assert look["alive"] is True
    assert look["findings"] == []
    assert look["heartbeat"]["pid"] == child.pid
    assert look["breaker"] == {"tripped": False, "reason": None, "tripped_now": False}
    assert probed.alerts() == []


def test_a_killed_process_is_found_tripped_and_told_once_and_told_again_when_it_is_back(probed: Probed) -> None:
    with beating(probed) as child:
        child.kill()
        child.wait()
        assert probed.probe(status=0)["alive"] is True, "killed a moment ago: a restart may still come"
        probed.pass_time(26)
        look = probed.probe(status=1)
    assert kinds(look) == ["scan_stale", "progress_stale"]
    assert "not running" in look["process"]
    assert look["breaker"]["tripped_now"] is True
    assert [actor for actor, _ in probed.trips()] == ["probe"]
    assert "the last scan ended 26 min ago" in probed.trips()[0][1]
    again = probed.probe(status=1)
    assert again["breaker"]["tripped"] is True
    assert again["breaker"]["tripped_now"] is False
    assert len(probed.trips()) == 1
    assert probed.alerts() == ["probe: the last scan ended 26 min ago and 1 more"]
    assert probed.incidents() == ["probe:stale"]
    with beating(probed):
        well = probed.probe(status=0)
        assert probed.probe(status=0)["told"] == []
    assert well["told"] == ["probe: well again"]
    assert well["breaker"]["tripped"] is True, "latching: only a person resets it"
    assert probed.incidents() == []
    assert probed.alerts() == ["probe: the last scan ended 26 min ago and 1 more", "probe: well again"]


def test_a_hung_process_is_found_although_it_lives(probed: Probed) -> None:
    with beating(probed) as child:
        os.kill(child.pid, signal.SIGSTOP)
        probed.pass_time(26)
        look = probed.probe(status=1)
        assert child.poll() is None
        assert "scan_stale" in kinds(look) or "scan_hung" in kinds(look)
        assert "progress_stale" in kinds(look)
        assert f"pid {child.pid}" in look["process"]
        assert "hangs" in look["process"]
        assert look["breaker"]["tripped_now"] is True
        os.kill(child.pid, signal.SIGCONT)
        wait_until(lambda: probed.probe()["alive"])
    assert probed.alerts()[-1] == "probe: well again"
    assert len(probed.alerts()) == 2


def test_a_process_that_hangs_within_an_entry_is_told_of_and_tripped_as_soon_as_it_lets_go(probed: Probed) -> None:
    with beating(probed, "hold") as child:
        os.kill(child.pid, signal.SIGSTOP)
        probed.pass_time(26)
        began = time.monotonic()
        look = probed.probe(status=5)
        assert time.monotonic() - began < 60
        assert look["breaker"]["tripped"] is False
        assert "could not be tripped" in look["problems"][0]
        assert len(probed.alerts()) == 1
    look = probed.probe(status=1)
    assert look["breaker"]["tripped_now"] is True
    assert len(probed.alerts()) == 1


def test_a_scanner_that_dies_within_a_living_process_is_found(probed: Probed) -> None:
    with beating(probed) as child:
        os.kill(child.pid, signal.SIGUSR1)
        wait_until((probed.project.root / SCANNER_ENDED).exists)
        probed.pass_time(26)
        before = probed.heart.read()
        wait_until(
            lambda: (
                (row := probed.heart.read()) is not None
                and row.last_write is not None
                and row.now - row.last_write < timedelta(minutes=1)
            )
        )
        look = probed.probe(status=1)
        after = probed.heart.read()
        assert child.poll() is None
    assert before is not None
    assert after is not None
    assert before.last_scan_end == after.last_scan_end
    assert kinds(look) == ["scan_stale"]
    assert f"pid {child.pid}" in look["process"]
    assert look["breaker"]["tripped_now"] is True


def test_a_session_that_is_restarted_while_the_probe_looks_is_no_finding(probed: Probed) -> None:
    for _ in range(3):
        with beating(probed):
            assert probed.probe(status=0)["alive"] is True
        assert probed.probe(status=0)["alive"] is True
    assert probed.alerts() == []
    assert probed.trips() == []


# --- rows ---------------------------------------------------------------------------------------------------------


def test_a_variant_that_was_never_started_is_found(probed: Probed) -> None:
    look = probed.probe(status=1)
    assert kinds(look) == ["never_started"]
    assert look["heartbeat"] is None
    assert look["breaker"]["tripped_now"] is True
    assert len(probed.alerts()) == 1


def test_a_scan_without_an_end_is_never_fresh(probed: Probed) -> None:
    probed.beat()
    probed.execute("UPDATE scanner_heartbeat SET last_scan_end = NULL")
    assert kinds(probed.probe(status=1)) == ["scan_stale"]


def test_a_scan_that_began_and_did_not_end_is_found(probed: Probed) -> None:
    probed.beat()
    probed.execute(
        "UPDATE scanner_heartbeat SET last_scan_start = now() - interval '26 min', last_scan_end = now() - interval '27 min'"
    )
    assert kinds(probed.probe(status=1)) == ["scan_hung"]


def test_a_session_stopped_on_purpose_is_a_finding_of_its_own(probed: Probed) -> None:
    probed.beat()
    row = probed.heart.read()
    assert row is not None
    assert row.session_id is not None
    probed.heart.state("stopped", session_id=row.session_id, feed="exchange")
    assert probed.probe(status=0)["alive"] is True
    probed.pass_time(26)
    look = probed.probe(status=1)
    assert kinds(look) == ["stopped"]
    assert "on purpose" in probed.alerts()[0]
    assert look["breaker"]["tripped_now"] is True


@pytest.mark.parametrize("column", ["last_scan_start", "last_scan_end", "last_write", "updated_at"])
def test_what_was_written_in_the_future_is_not_fresh(probed: Probed, column: str) -> None:
    probed.beat()
    probed.execute(f"UPDATE scanner_heartbeat SET {column} = now() + interval '1 hour'")
    look = probed.probe(status=1)
    assert kinds(look) == ["clock"]
    assert look["breaker"]["tripped_now"] is True


def test_a_database_whose_clock_is_ahead_of_the_beats_makes_them_old(probed: Probed) -> None:
    probed.beat()
    probed.pass_time(60)
    assert kinds(probed.probe(status=1)) == ["scan_stale", "progress_stale"]


def test_clocks_of_two_machines_that_differ_are_told_and_trip_nothing(probed: Probed) -> None:
    probed.beat()
    hour = timedelta(hours=1)
    run = probe(["baseline"], probed.project, here=lambda: datetime.now(UTC) - hour)
    (look,) = run.looks
    assert [f.kind for f in look.findings] == ["clock_skew"]
    assert "60 min ahead of this machine's" in look.findings[0].detail
    assert run.exit_status == 1
    assert probed.incidents() == ["probe:clock_skew"]
    assert probed.trips() == []
    (probed.project.storage / "probe" / "last.json").unlink()  # its time would be this machine's wrong one
    assert probed.probe(status=0)["told"] == ["probe: well again"]


def test_an_incident_whose_findings_change_stays_one_incident(probed: Probed) -> None:
    probed.beat()
    probed.execute("UPDATE scanner_heartbeat SET last_scan_end = now() - interval '30 min', last_scan_start = NULL")
    probed.probe(status=1)
    probed.pass_time(30)
    assert kinds(probed.probe(status=1)) == ["scan_stale", "progress_stale"]
    assert len(probed.alerts()) == 1
    ((detail,),) = probed.rows("SELECT detail FROM incidents")
    assert "the last scan ended 60 min ago; the last minute was processed 30 min ago" in detail


def test_a_second_incident_is_told_again(probed: Probed) -> None:
    for _ in range(2):
        probed.beat()
        probed.probe(status=0)
        probed.pass_time(26)
        probed.probe(status=1)
    assert len(probed.alerts()) == 3
    assert probed.alerts()[0] == probed.alerts()[2]


def test_a_breaker_that_a_person_resets_while_the_variant_is_stale_trips_again(probed: Probed) -> None:
    probed.probe(status=1)
    probed.store.reset(at=datetime.now(UTC), actor="somebody", reason="too early")
    assert probed.probe(status=1)["breaker"]["tripped_now"] is True


def test_a_breaker_that_tripped_before_keeps_its_reason(probed: Probed) -> None:
    probed.store.trip(at=datetime.now(UTC), actor="somebody", reason="by hand")
    look = probed.probe(status=1)
    assert look["breaker"] == {"tripped": True, "reason": "by hand", "tripped_now": False}
    assert probed.trips() == [("somebody", "by hand")]


def test_without_tripping_the_finding_is_told_and_the_breaker_left_alone(probed: Probed) -> None:
    look = probed.probe("--no-trip", status=1)
    assert look["breaker"]["tripped"] is False
    assert probed.trips() == []
    assert len(probed.alerts()) == 1


# --- databases that are not there -----------------------------------------------------------------------------------


def silent_port() -> Iterator[int]:
    """A server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=20) as listener:
        yield listener.getsockname()[1]


def test_one_database_that_does_not_answer_keeps_the_probe_from_no_other(
    probed: Probed, monkeypatch: pytest.MonkeyPatch
) -> None:
    probed.beat()
    for port in silent_port():
        monkeypatch.setenv("SIGIL_DATABASE_URL_MODERATE", f"postgresql://u:secret@127.0.0.1:{port}/x")
        monkeypatch.setenv("SIGIL_DATABASE_URL_AGGRESSIVE", "postgresql://u:secret@127.0.0.1:1/x")
        monkeypatch.setenv("SIGIL_DATABASE_URL_UNHINGED", "mysql://u:secret@127.0.0.1/x")
        began = time.monotonic()
        document = probed.run("--all", status=3)
        assert time.monotonic() - began < 60
    looks = document["variants"]
    assert list(looks) == ["baseline", "moderate", "aggressive", "unhinged"]
    assert looks["baseline"]["alive"] is True
    assert [kinds(looks[v]) for v in ("moderate", "aggressive", "unhinged")] == [["unreachable"]] * 3
    assert "no answer" in looks["moderate"]["findings"][0]["detail"]
    assert "no server answers" in looks["aggressive"]["findings"][0]["detail"]
    assert "secret" not in json.dumps(document)
    assert "secret" not in (probed.project.storage / "probe" / "state.json").read_text()


@contextmanager
def freezing(probed: Probed, word: bytes) -> Iterator[int]:
    """A way to the database that stops, with the connection open, at the first query that holds `word`."""
    address = probed.database.address
    sockets: list[socket.socket] = []

    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while (data := source.recv(65536)) and word not in data:
                target.sendall(data)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection((address.host, address.port))
                sockets.extend((client, server))
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=20) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
    for each in sockets:
        each.close()


def test_a_database_that_falls_silent_within_a_query_does_not_hold_up_the_probe(
    probed: Probed, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = probed.database.address
    script = (
        "import sigil_ext.services.probe as p; p.DEADLINE_S = 3.0; import sigil_ext.entrypoints.cli.main as m; m.main()"
    )
    command = [sys.executable, "-c", script, "probe", "--variant", "baseline", "--json"]
    with freezing(probed, b"scanner_heartbeat") as port:
        url = f"postgresql://{address.user}:{address.password.get_secret_value()}@127.0.0.1:{port}/{address.name}"
        environment = {
            **os.environ, "SIGIL_HOME": str(probed.project.root), "PYTHONPATH": str(ROOT),
            "SIGIL_DATABASE_URL_BASELINE": url,
        }  # fmt: skip
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3, done.stderr
    assert kinds(json.loads(done.stdout)["variants"]["baseline"]) == ["unreachable"]
    assert "did not answer within 3 s" in done.stdout


@pytest.mark.slow
def test_a_server_of_its_own_that_is_stopped_hangs_and_comes_back(
    empty_project: Project, sigil: Callable[..., Any]
) -> None:
    """The embedded server of the project itself: SIGSTOP, SIGCONT, stopped by `sigil db stop`, started again."""
    assert sigil("migrate", "up", project=empty_project).status == 0
    look = run_baseline(sigil, empty_project, 1)
    assert kinds(look) == ["never_started"]
    pid = embedded.status(empty_project).pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert kinds(run_baseline(sigil, empty_project, 3)) == ["unreachable"]
        assert time.monotonic() - began < 60
    finally:
        os.kill(pid, signal.SIGCONT)
    assert kinds(run_baseline(sigil, empty_project, 1)) == ["never_started"]
    assert sigil("db", "stop", project=empty_project).status == 0
    look = run_baseline(sigil, empty_project, 3)
    assert "does not run" in look["findings"][0]["detail"]
    assert embedded.status(empty_project).running is False
    assert sigil("db", "start", project=empty_project).status == 0
    assert kinds(run_baseline(sigil, empty_project, 1)) == ["never_started"]


def run_baseline(sigil: Callable[..., Any], project: Project, status: int) -> dict[str, Any]:
    ran = sigil("probe", "--variant", "baseline", "--json", project=project)
    assert ran.status == status, ran.out + ran.err
    return dict(json.loads(ran.out)["variants"]["baseline"])


def test_the_probe_starts_no_server_and_makes_no_database(empty_project: Project, sigil: Callable[..., Any]) -> None:
    ran = sigil("probe", "--json", project=empty_project)
    assert ran.status == 3
    assert {kinds(look)[0] for look in json.loads(ran.out)["variants"].values()} == {"unreachable"}
    assert embedded.status(empty_project).initialised is False
    assert not (empty_project.storage / "postgres").exists()


def test_a_database_that_does_not_exist_is_a_finding_and_stays_away(
    probed: Probed, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = probed.database.address.url().get_secret_value()
    monkeypatch.setenv("SIGIL_DATABASE_URL_BASELINE", url.rpartition("/")[0] + "/nowhere")
    look = probed.probe(status=3)
    assert "there is no database 'nowhere'" in look["findings"][0]["detail"]
    assert probed.rows("SELECT count(*) FROM pg_database WHERE datname = 'nowhere'") == [(0,)]


def test_a_database_without_the_schema_is_a_finding_and_stays_as_it_is(
    probed: Probed, empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGIL_DATABASE_URL_BASELINE", empty_database.address.url().get_secret_value())
    look = probed.probe(status=3)
    assert "sigil migrate up" in look["findings"][0]["detail"]
    with empty_database.transaction() as cur:
        cur.execute("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'")
        assert cur.fetchone() == (0,)


def test_a_line_of_env_that_says_nothing_is_wrong_use(tmp_path: Path, sigil: Callable[..., Any]) -> None:
    for name in ("overlays", "migrations"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".env").write_text("APP_PORT=9000\nGARBAGE LINE\n")
    ran = sigil("probe", project=Project(tmp_path, tmp_path / "storage"))
    assert (ran.status, ran.out) == (2, "")
    assert "line 2 of" in ran.err
    assert "GARBAGE" not in ran.err


def test_an_address_that_is_none_is_told_like_a_database_that_does_not_answer(
    probed: Probed, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGIL_DATABASE_URL_BASELINE", "secret")
    look = probed.probe(status=3)
    assert len(look["told"]) == 1
    assert mailbox.titles() == ["baseline: database lost"]
    assert "secret" not in json.dumps(look)


def test_an_outage_is_told_once_past_the_database_and_once_more_when_it_is_over(
    probed: Probed, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = probed.database.address.url().get_secret_value()
    probed.beat()
    monkeypatch.setenv("SIGIL_DATABASE_URL_BASELINE", "postgresql://u@127.0.0.1:1/x")
    look = probed.probe(status=3)
    assert len(look["told"]) == 1
    since = outages(probed)["baseline"]["since"]
    assert probed.probe(status=3)["told"] == []
    assert outages(probed)["baseline"]["since"] == since
    assert mailbox.titles() == ["baseline: database lost"]
    monkeypatch.setenv("SIGIL_DATABASE_URL_BASELINE", url)
    assert probed.probe(status=0)["told"] == ["database is back"]
    assert probed.probe(status=0)["told"] == []
    assert mailbox.titles() == ["baseline: database lost", "baseline: database is back"]
    assert outages(probed) == {}
    assert probed.trips() == [], "short: entries resume by themselves"


def test_a_finding_is_delivered_by_the_probe_because_the_session_may_be_dead(probed: Probed, mailbox: Mailbox) -> None:
    probed.beat()
    probed.pass_time(26)
    for _ in range(2):
        probed.probe(status=1)
    ((title, body),) = mailbox.messages
    assert title == "baseline: probe: the last scan ended 26 min ago and 1 more"
    assert "no process holds the session's lock" in body
    assert "breaker tripped: entries are blocked until a person resets it" in body
    probed.beat()
    probed.probe(status=0)
    assert mailbox.titles()[1:] == ["baseline: probe: well again"]
    assert "since" in mailbox.messages[1][1]


def test_an_alert_that_cannot_be_delivered_is_status_5_and_is_delivered_when_it_can(
    probed: Probed, mailbox: Mailbox
) -> None:
    mailbox.status = 503
    probed.beat()
    probed.pass_time(26)
    look = probed.probe(status=5)
    assert "not delivered" in look["problems"][0]
    assert "answered 503" in look["problems"][0]
    assert look["breaker"]["tripped_now"] is True
    mailbox.status, mailbox.messages = 200, []
    probed.execute("UPDATE alert_channels SET next_attempt_at = now()")
    probed.probe(status=1)
    probed.probe(status=1)
    assert mailbox.titles() == ["baseline: probe: the last scan ended 26 min ago and 1 more"]


def test_after_a_long_outage_the_breaker_trips_as_soon_as_it_can(
    probed: Probed, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = probed.database.address.url().get_secret_value()
    monkeypatch.setenv("SIGIL_DATABASE_URL_BASELINE", "postgresql://u@127.0.0.1:1/x")
    probed.probe(status=3)
    state = probed.project.storage / "probe" / "state.json"
    document = json.loads(state.read_text())
    document["outages"]["baseline"]["since"] = (datetime.now(UTC) - timedelta(minutes=26)).isoformat()
    state.write_text(json.dumps(document))
    monkeypatch.setenv("SIGIL_DATABASE_URL_BASELINE", url)
    probed.beat()
    kept = probed.probe("--no-trip", status=1)
    assert kinds(kept) == ["was_unreachable"]
    assert "baseline" in outages(probed), "what the outage asks for is still owed"
    look = probed.probe(status=1)
    assert look["breaker"]["tripped_now"] is True
    assert "did not answer for 26 min" in probed.trips()[0][1]
    assert probed.probe(status=0)["alive"] is True


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"outages": []}', '{"outages": {"baseline": {"since": 5}}}', "\x00"]
)
def test_files_of_the_probe_that_are_broken_are_put_aside_and_said(probed: Probed, content: str) -> None:
    probed.beat()
    home = probed.project.storage / "probe"
    home.mkdir(parents=True)
    (home / "state.json").write_text(content)
    (home / "last.json").write_bytes(b"\xff\xfe{")
    document = probed.run("--variant", "baseline", status=5)
    assert document["variants"]["baseline"]["alive"] is True
    assert any("state.json could not be read" in problem for problem in document["problems"])
    assert any("last.json could not be read" in problem for problem in document["problems"])
    assert (home / "state.json.broken").read_text() == content
    probed.probe(status=0)


def outages(probed: Probed) -> dict[str, Any]:
    return dict(json.loads((probed.project.storage / "probe" / "state.json").read_text())["outages"])


# --- the probe's own trace ------------------------------------------------------------------------------------------


def test_every_run_leaves_a_row_and_a_file(probed: Probed) -> None:
    probed.beat()
    probed.probe(status=0)
    probed.pass_time(26)
    document = probed.run("--variant", "baseline", status=1)
    (_, well), (_, ill) = probed.rows("SELECT host, findings FROM probe_runs ORDER BY id")
    assert well == []
    assert [finding["kind"] for finding in ill] == ["scan_stale", "progress_stale"]
    assert probed.rows("SELECT DISTINCT host FROM probe_runs") == [(socket.gethostname(),)]
    assert json.loads((probed.project.storage / "probe" / "last.json").read_text()) == document


def test_a_probe_that_had_not_been_running_says_so_by_the_databases_row_and_tells_once(probed: Probed) -> None:
    probed.beat()
    probed.probe(status=0)
    probed.execute("UPDATE probe_runs SET at = at - interval '16 min'")
    look = probed.probe(status=4)
    assert kinds(look) == ["probe_gap"]
    assert look["alive"] is True
    assert "the probe itself was not running" in probed.alerts()[0]
    assert probed.probe(status=0)["findings"] == []
    assert len(probed.alerts()) == 1
    assert probed.trips() == []


@pytest.fixture
def probed_two(
    probed: Probed, new_database: Callable[..., Database], migrated_template: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Probed, Probed]]:
    """Baseline and moderate, which were probed 16 minutes ago and live."""
    other = new_database("moderate", migrated_template)
    monkeypatch.setenv("SIGIL_DATABASE_URL_MODERATE", other.address.url().get_secret_value())
    both = probed, Probed(probed.project, other, probed._sigil)
    for one in both:
        one.beat()
    look_at_both(probed, 0)
    sleep_of_the_probe(both)
    yield both
    other.close()


def look_at_both(probed: Probed, status: int) -> dict[str, Any]:
    return probed.run("--variant", "baseline", "--variant", "moderate", status=status)


def sleep_of_the_probe(both: tuple[Probed, Probed]) -> None:
    for one in both:
        one.execute("UPDATE probe_runs SET at = at - interval '16 min'")


def test_the_databases_of_two_variants_notice_the_same_gap_and_a_person_is_told_once(
    probed_two: tuple[Probed, Probed], mailbox: Mailbox
) -> None:
    document = look_at_both(probed_two[0], 4)
    assert [kinds(look) for look in document["variants"].values()] == [["probe_gap"]] * 2
    (title,) = [title for one in probed_two for title in one.alerts()]
    assert "the probe itself was not running" in title
    assert len(mailbox.messages) == 1
    kept = probed_two[0].project.storage / "probe" / "gap.json"
    told = json.loads(kept.read_text())
    told["at"] = (datetime.fromisoformat(told["at"]) - timedelta(minutes=16)).isoformat()
    kept.write_text(json.dumps(told))
    sleep_of_the_probe(probed_two)
    look_at_both(probed_two[0], 4)
    assert len(mailbox.messages) == 2, "the next one is another one"


def test_a_gap_is_told_by_the_channels_of_each_variant_once(
    probed_two: tuple[Probed, Probed], mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGIL_ALERT_URLS_MODERATE", f"{mailbox.url}another")
    look_at_both(probed_two[0], 4)
    assert [len(one.alerts()) for one in probed_two] == [1, 1]
    assert len(mailbox.messages) == 2


def test_a_gap_is_told_where_nobody_can_say_who_was_told(probed_two: tuple[Probed, Probed], mailbox: Mailbox) -> None:
    (probed_two[0].project.storage / "probe" / "gap.json").write_text("{")
    document = look_at_both(probed_two[0], 5)
    assert len(mailbox.messages) == 1
    said = [problem for look in document["variants"].values() for problem in look["problems"]]
    assert len(said) == 1
    assert "gap.json could not be read and was put aside" in said[0]


def test_a_probe_that_had_not_been_running_says_so_by_the_file_of_this_machine(probed: Probed) -> None:
    probed.beat()
    probed.probe(status=0)
    last = probed.project.storage / "probe" / "last.json"
    last.write_text(json.dumps({"at": (datetime.now(UTC) - timedelta(minutes=16)).isoformat()}))
    document = probed.run("--variant", "baseline", status=4)
    assert "the probe itself was not running" in document["probe_was_not_running"]


def test_two_probes_at_once_tell_once(probed: Probed) -> None:
    command = [sys.executable, "-m", "sigil_ext", "probe", "--variant", "baseline", "--json"]
    environment = {**os.environ, "SIGIL_HOME": str(probed.project.root), "PYTHONPATH": str(ROOT)}
    children = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    results = [(*child.communicate(timeout=60), child.returncode) for child in children]
    assert [status for _, _, status in results] == [1, 1, 1], results
    assert len(probed.alerts()) == 1
    assert probed.incidents() == ["probe:stale"]
    assert probed.store.breaker().tripped
    assert probed.rows("SELECT count(*) FROM probe_runs") == [(3,)]


def test_a_probe_that_can_leave_no_trace_says_so(probed: Probed) -> None:
    probed.beat()
    probed.project.storage.mkdir(exist_ok=True)
    (probed.project.storage / "probe").write_text("a file where the folder should be")
    document = probed.run("--variant", "baseline", status=5)
    assert document["variants"]["baseline"]["alive"] is True
    assert any("trace" in problem for problem in document["problems"])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_one_look_that_fails_or_hangs_keeps_nobody_from_the_others() -> None:
    over = threading.Event()

    def work(name: str) -> str:
        if name == "fails":
            raise RuntimeError("unforeseen")
        if name == "hangs":
            over.wait(60)
        return name.upper()

    answers, late = _all_at_once(["fails", "hangs", "works"], work, 0.5)
    over.set()
    assert answers == {"works": "WORKS"}
    assert late == {"hangs"}


def test_a_breaker_has_one_name_in_every_table(probed: Probed, sigil: Callable[..., Any]) -> None:
    probed.beat()
    for command in (("probe",), ("breaker", "status")):
        said = sigil(*command, "--variant", "baseline", project=probed.project)
        assert said.status == 0
        assert "armed" in said.out


# --- use ------------------------------------------------------------------------------------------------------------


def test_a_variant_of_the_users_own_is_looked_at_from_its_first_beat_on(
    probed: Probed, sigil: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "own"
    shutil.copytree(ROOT / "overlays", home / "overlays")
    (home / "overlays" / "mine.yaml").write_text("hard_stop:\n  multiplier: 2.0\n")
    (home / "migrations").symlink_to(ROOT / "migrations")
    url = probed.database.address.url().get_secret_value()
    monkeypatch.setenv("SIGIL_DATABASE_URL", "postgresql://u@127.0.0.1:1/x")
    monkeypatch.setenv("SIGIL_DATABASE_URL_MINE", url)
    project = Project(home, home / "storage")
    probed.execute("DELETE FROM scanner_heartbeat")
    never = json.loads(sigil("probe", "--json", project=project).out)
    assert "mine" not in never["variants"]
    Heartbeat(Database("mine", probed.database.address)).scan_started()
    begun = json.loads(sigil("probe", "--json", project=project).out)
    assert begun["variants"]["mine"]["alive"] is True
    asked_for = json.loads(sigil("probe", "--json", "--variant", "mine", project=project).out)
    assert list(asked_for["variants"]) == ["mine"]


def test_an_env_that_cannot_be_read_is_wrong_use_and_not_four_lost_databases(
    empty_project: Project, sigil: Callable[..., Any]
) -> None:
    (empty_project.root / ".env").write_text("SIGIL_DATABSE_URL=postgresql://u:secret@127.0.0.1/x\n")
    ran = sigil("probe", project=empty_project)
    assert ran.status == 2
    assert "SIGIL_DATABSE_URL" in ran.err
    assert "secret" not in ran.err


def test_people_read_a_table_and_the_findings(probed: Probed, sigil: Callable[..., Any]) -> None:
    ran = sigil("probe", "--variant", "baseline", project=probed.project)
    assert ran.status == 1
    assert "NO" in ran.out
    assert "tripped" in ran.out
    assert "baseline: no heartbeat at all: the session was never started" in ran.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--variant", "basline"), "did you mean 'baseline'"),
        (("--variant", "legacy"), "research only"),
        (("--all", "--variant", "baseline"), "exclude each other"),
    ],
)
def test_wrong_use_is_status_2(
    empty_project: Project, sigil: Callable[..., Any], arguments: tuple[str, ...], words: str
) -> None:
    ran = sigil("probe", *arguments, project=empty_project)
    assert ran.status == 2
    assert words in ran.err
