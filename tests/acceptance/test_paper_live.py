"""A live session on a local exchange that is cut, goes away and bans, and on a database that is stopped under it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sigil_ext.services.database import open_database
from tests.live_course import MINUTES, START_MS

ROOT = Path(__file__).resolve().parents[2]
NOT_KNOWN_YET = {"next_24h_high_pct", "next_24h_low_pct"}


def utc(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M")


def live(project, course: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "tests.live_course", course], cwd=ROOT, capture_output=True, text=True, timeout=500,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {"SIGIL_HOME": str(project.root)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ask(project, query: str) -> list[tuple]:
    database = open_database("unhinged", project)
    try:
        with database.transaction() as cursor:
            cursor.execute(query)
            return cursor.fetchall()
    finally:
        database.close()


def plain(trades: list[dict]) -> list[dict]:
    return [{k: v for k, v in t.items() if k not in NOT_KNOWN_YET | {"universe_id"}} for t in trades]


@pytest.fixture(scope="module")
def expected() -> list[dict]:
    """What the backtest says of the same minutes."""
    done = subprocess.run(
        [sys.executable, "-m", "sigil_ext", "backtest", "--variant", "unhinged", "--candles", str(ROOT / "sample"),
         "--start", utc(START_MS), "--finish", utc(START_MS + MINUTES * 60_000), "--json"],
        capture_output=True, text=True, check=True, cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "SIGIL"))},
    )  # fmt: skip
    found = [t for t in plain(json.loads(done.stdout)["trades"]) if t["exit_reason"] != "session_end"]
    assert len(found) > 5
    return found


@pytest.mark.slow
def test_cut_banned_and_thirty_minutes_away_the_exchange_costs_no_trade_and_every_gap_shows(
    sigil, empty_project, expected
):
    found = live(empty_project, "feed")
    assert found["processed"] >= MINUTES - 2
    assert plain(found["trades"]) == expected
    events = ask(empty_project, "SELECT kind, count(*) FROM feed_events GROUP BY kind")
    assert {"lost", "back"} <= {kind for kind, _ in events}
    ((late,),) = ask(empty_project, "SELECT count(*) FROM paper_minutes WHERE downtime")
    assert late >= 29, "the minutes of the outage are marked"
    alerts = dict(ask(empty_project, "SELECT event, count(*) FROM alerts GROUP BY event"))
    assert alerts["feed_lost"] == alerts["feed_back"] == 1, "half an hour away is told, a cut connection is not"
    assert alerts["exit"] == len(expected)
    assert alerts["start"] == alerts["stop"] == 1
    ran = sigil("audit", "--variant", "unhinged", "--json", project=empty_project)
    report = json.loads(ran.out)
    assert (ran.status, report["unexplained"], report["differences"]) == (0, 0, []), report


@pytest.mark.slow
def test_while_the_database_is_away_exits_are_tracked_and_no_entry_is_made(sigil, empty_project):
    found = live(empty_project, "database")
    assert not found["lost"]
    gone = [(650, 740), (1100, 1220)]
    spans = [(START_MS + a * 60_000, START_MS + b * 60_000) for a, b in gone]
    rows = ask(
        empty_project,
        "SELECT (extract(epoch FROM opened_at) * 1000)::bigint, (extract(epoch FROM closed_at) * 1000)::bigint"
        " FROM micro_positions ORDER BY opened_at",
    )
    for begin, end in spans:
        assert not [r for r in rows if begin + 60_000 < r[0] <= end], "an entry without a durable row"
    closed = [r for r in rows if r[1] is not None]
    assert len(closed) == len(found["trades"])
    assert [r for r in closed if any(b < r[1] <= e for b, e in spans)], "no exit fell into the outages: choose others"
    assert [r for r in rows if r[0] > spans[-1][1]], "entries resume by themselves"
    ((minutes, distinct),) = ask(empty_project, "SELECT count(*), count(DISTINCT open_ms) FROM paper_minutes")
    assert minutes == distinct == found["processed"]
    ran = sigil("audit", "--variant", "unhinged", "--json", project=empty_project)
    report = json.loads(ran.out)
    assert (ran.status, report["unexplained"]) == (0, 0), report
    lost = [d for d in report["differences"] if d["cause"].endswith("the database was lost")]
    assert lost, "the audit names the entries that the outage cost"


def wait_until(what, process: subprocess.Popen[str], seconds: float = 240.0):
    until = time.monotonic() + seconds
    while not (found := what()):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.5)
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_as_it_is_used_a_live_session_scans_by_its_scheduler_survives_a_kill_and_stops_on_sigterm(sigil, empty_project):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {
        "SIGIL_HOME": str(empty_project.root)
    }
    exchange = subprocess.Popen(
        [sys.executable, "-m", "tests.exchange_server"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    session = None
    try:
        assert exchange.stdout is not None
        address = exchange.stdout.readline().strip()
        line = [sys.executable, "-m", "sigil_ext", "run", "paper", "--variant", "baseline", "--feed", "exchange",
                "--exchange-url", address, "--symbols", "KNC-USDT,ACH-USDT,DOGS-USDT"]  # fmt: skip
        database = open_database("baseline", empty_project)

        def count(query: str) -> int:
            with database.transaction() as cursor:
                cursor.execute(query)
                return cursor.fetchone()[0]

        def begin() -> subprocess.Popen[str]:
            return subprocess.Popen(
                line, cwd=empty_project.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )

        session = begin()
        wait_until(lambda: count("SELECT count(*) FROM paper_minutes"), session)
        wait_until(lambda: count("SELECT count(*) FROM scanner_heartbeat WHERE last_scan_end IS NOT NULL"), session)
        assert count("SELECT count(*) FROM apscheduler_jobs WHERE id IN ('scan', 'summaries', 'audit')") == 3
        status = json.loads(sigil("status", "--variant", "baseline", "--json", project=empty_project).out)
        assert "alive" in json.dumps(status)
        ran = sigil("probe", "--variant", "baseline", "--json", project=empty_project)
        assert ran.status == 0, ran.out
        session.send_signal(signal.SIGKILL)
        session.communicate()
        before = count("SELECT count(*) FROM paper_minutes")
        session = begin()
        wait_until(lambda: count("SELECT count(*) FROM paper_minutes") > before, session)
        session.send_signal(signal.SIGTERM)
        out, err = session.communicate(timeout=90)
        assert session.returncode == 0, err
        assert "continues with the same command" in out
        for logged in err.splitlines():
            json.loads(logged)
        assert count("SELECT count(*) FROM scanner_heartbeat WHERE state = 'stopped'") == 1
        assert count("SELECT count(*) - count(DISTINCT open_ms) FROM paper_minutes") == 0
        assert count("SELECT count(*) FROM alerts WHERE event = 'start'") == 2
        database.close()
    finally:
        for process in (session, exchange):
            if process is not None and process.poll() is None:
                process.kill()
                process.communicate()
