"""Scans that leave no symbol to enter are told when it begins and when it is over, also by a session that was stopped meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sigil_ext.db import embedded
from sigil_ext.services.database import open_database

SAMPLE = Path(__file__).resolve().parents[2] / "sample"
BEGUN = ("the scan left no symbol to enter", "2025-06-17 00:15 UTC, 12 symbols in the pool: too_young 12")
OVER = (
    "the scan has symbols to enter again",
    "2025-06-17 21:00 UTC, 12 of 12 symbols in the pool; none since 2025-06-17 00:15 UTC",
)


def replay(project, finish: str) -> None:
    """Replay unhinged on the sample from its second day on; no symbol is old enough before its evening."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    line = [sys.executable, "-m", "sigil_ext", "run", "paper", "--variant", "unhinged", "--candles", str(SAMPLE)]
    done = subprocess.run(
        [*line, "--start", "2025-06-17", "--finish", finish, "--alerts"],
        cwd=project.root, env=environment | {"SIGIL_HOME": str(project.root)}, capture_output=True, text=True,
        timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.timeout(600)
def test_it_is_told_once_however_many_scans_and_starts_of_the_session(empty_project):
    database = open_database("unhinged", empty_project)

    def ask(query: str) -> list[tuple]:
        with database.transaction() as cur:
            cur.execute(query)
            return list(cur.fetchall())

    try:
        told = "SELECT title, body FROM alerts WHERE event = 'scan_empty' ORDER BY id"
        replay(empty_project, "2025-06-17T03:00")
        ((scans,),) = ask("SELECT count(*) FROM universe_scans")
        assert scans >= 3, "nothing could be repeated"
        assert ask(told) == [BEGUN]
        with database.transaction() as cur:
            cur.execute("UPDATE paper_sessions SET ended_at = NULL")  # as if it had been stopped
        replay(empty_project, "2025-06-18T02:00")
        assert ask(told) == [BEGUN, OVER]
    finally:
        database.close()
        embedded.stop(empty_project)
