"""A recording at full speed commits many minutes at once, and leaves what a recording leaves that commits each alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sigil_ext.db import embedded
from sigil_ext.db.connection import Database
from sigil_ext.services.database import open_database

ROOT = Path(__file__).resolve().parents[2]
PERIOD = ("--candles", str(ROOT / "sample"), "--start", "2025-06-18", "--finish", "2025-06-18T20:00")
# By the clock on the wall, or of the process that wrote it; everything else has to be equal, numbers of rows included.
OF_THE_WRITER = {
    "written_at", "started_at", "ended_at", "applied_at", "last_write", "last_scan_start", "last_scan_end", "pid", "host",
}  # fmt: skip
# `updated_at` is the market's time in the rows of positions and protections, and the clock's in that of the heartbeat.
CLOCKED = {"scanner_heartbeat": {"updated_at"}, "audits": {"at", "took_s"}}
NOT_OF_THE_SESSION = {"schema_migrations", "paper_checkpoints"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def ran(project, *arguments: str) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, "-m", "sigil_ext", *arguments], cwd=project.root,
        env=environment | {"SIGIL_HOME": str(project.root)}, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def replayed(project, variant: str, *options: str) -> Iterator[tuple[Database, list[dict]]]:
    """A database in which a session replayed the period, and the trades that it told."""
    database = open_database(variant, project)
    file = project.root / "trades.json"
    ran(project, "run", "paper", "--variant", variant, *PERIOD, "--json", str(file), *options)
    ran(project, "audit", "--variant", variant)
    try:
        yield database, json.loads(file.read_text())["trades"]
    finally:
        database.close()
        embedded.stop(project)


def rows(database: Database) -> dict[str, list[str]]:
    """Every row of every table, as text."""
    found = {}
    with database.transaction() as cur:
        cur.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        for (table,) in cur.fetchall():
            if table not in NOT_OF_THE_SESSION:
                without = sorted(OF_THE_WRITER | CLOCKED.get(table, set()))
                cur.execute(f'SELECT (to_jsonb(t) - %s::text[])::text FROM "{table}" AS t', (without,))
                found[table] = sorted(row[0] for row in cur.fetchall())
    return found


def transactions(database: Database) -> int:
    """How many transactions wrote minutes."""
    with database.transaction() as cur:
        cur.execute("SELECT count(DISTINCT xmin::text) FROM paper_minutes")
        return cur.fetchone()[0]


def test_minutes_that_share_a_transaction_leave_the_rows_of_minutes_that_have_their_own(empty_project, tmp_path):
    from tests.conftest import _make_project

    with replayed(empty_project, "unhinged") as (database, trades):
        together, shared = rows(database), transactions(database)
    # At a finite speed each minute is committed alone; this one is as good as none.
    with replayed(_make_project(tmp_path / "alone"), "unhinged", "--speed", "1000000") as (database, told):
        alone, own = rows(database), transactions(database)
    assert own == 1200
    assert shared < own / 3
    assert len(trades) >= 10
    assert trades == told
    assert {table: len(lines) for table, lines in together.items()} == {t: len(lines) for t, lines in alone.items()}
    assert together == alone
    for table in (
        "micro_positions",
        "signals",
        "refusals",
        "universe_rows",
        "equity_snapshots",
        "protection_events",
        "audits",
    ):
        assert together[table], f"{table} is empty: nothing was compared"
