"""What the chaos scripts share: a project and a server of their own, commands run in it, and how two databases differ.

Start at `Sandbox` and `differences`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import connection

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.chaos.preloaded import Forked, Preloaded  # noqa: E402
from sigil_ext.db import embedded  # noqa: E402
from sigil_ext.db.connection import Database  # noqa: E402
from sigil_ext.db.journal import SESSION_LOCK  # noqa: E402
from sigil_ext.errors import DatabaseUnavailable  # noqa: E402
from sigil_ext.services.database import open_database  # noqa: E402
from sigil_ext.settings.project import Project  # noqa: E402

MINUTE_MS = 60_000
SAMPLE = ROOT / "sample"

# What must be equal, numbers of rows and the wall clock aside: the row without these columns, and what stands for them.
_AT = "jsonb_build_object('scan_at', (SELECT s.at FROM universe_scans AS s WHERE s.id = t.{column}))"
TABLES: dict[str, tuple[tuple[str, ...], str]] = {
    "micro_positions": (("id", "universe_id"), _AT.format(column="universe_id")),
    "signals": (("id",), "'{}'"),
    "refusals": ((), "'{}'"),
    "symbol_protections": ((), "'{}'"),
    "protection_events": (("id", "written_at"), "'{}'"),
    "universe_scans": (("id", "written_at"), "'{}'"),
    "universe_rows": (("scan_id",), _AT.format(column="scan_id")),
    "equity_snapshots": ((), "'{}'"),
    "paper_minutes": (("session_id", "written_at", "candles"), "jsonb_build_object('candles', md5(t.candles))"),
    "paper_closings": (("session_id",), "'{}'"),
    "system_state": ((), "'{}'"),
}
# What one thing that happened may leave one row of.
ONCE = {
    "micro_positions": "symbol, opened_at",
    "signals": "symbol, created_at, rule",
    "protection_events": "symbol, at, kind, reason",
    "universe_scans": "at",
    "universe_rows": "scan_id, symbol",
    "equity_snapshots": "at",
    "paper_minutes": "open_ms",
}

Tables = dict[str, list[str]]
Process = subprocess.Popen[str] | Forked


class Sandbox:
    """A project of its own in `folder`, with the checkout's overlays, migrations, strategies and sample."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("overlays", "migrations", "strategies", "sample"):
            if not (folder / name).exists():
                (folder / name).symlink_to(ROOT / name)
        self.project = Project(folder, folder / "storage")
        self._preloaded: Preloaded | None = None

    def environment(self) -> dict[str, str]:
        """Return an environment in which commands find this project and nothing of whoever runs it."""
        foreign = ("SIGIL_", "POSTGRES_", "PG", "PYTEST")
        # Without its bytecode a start takes seconds longer, and here there are hundreds of starts.
        unwanted = ("PASSWORD", "PYTHONDONTWRITEBYTECODE")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign) and k not in unwanted}
        return {**kept, "SIGIL_HOME": str(self.project.root), "PYTHONPATH": str(ROOT)}

    def preload(self) -> None:
        """From now on fork commands from a process that has imported everything."""
        self.project.storage.mkdir(exist_ok=True)
        self._preloaded = Preloaded(self.project.root, self.environment())

    def start(self, *arguments: str, said: str = "said") -> Process:
        """Start `sigil arguments`; what it says goes to the file `said`, so that it never waits for a reader."""
        if self._preloaded is not None:
            return self._preloaded.start(list(arguments), self.project.storage / said)
        return self.python("-m", "sigil_ext", *arguments, said=said)

    def python(self, *arguments: str, said: str = "said") -> subprocess.Popen[str]:
        """Start the interpreter in this project."""
        self.project.storage.mkdir(exist_ok=True)
        with (self.project.storage / said).open("w") as file:
            return subprocess.Popen(
                [sys.executable, *arguments], cwd=self.project.root, env=self.environment(), stdin=subprocess.DEVNULL,
                stdout=file, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip

    def said(self, name: str = "said") -> str:
        """Return what the last command that was started with `said=name` said."""
        return (self.project.storage / name).read_text()

    def sigil(self, *arguments: str, status: int = 0) -> str:
        """Run `sigil arguments` to its end and return what it said; any other exit status is an error."""
        done = subprocess.run(
            [sys.executable, "-m", "sigil_ext", *arguments], cwd=self.project.root, env=self.environment(),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != status:
            raise RuntimeError(
                f"sigil {' '.join(arguments)}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done.stdout + done.stderr

    def database(self, variant: str) -> Database:
        """Return the variant's database, made and migrated."""
        return open_database(variant, self.project)

    def close(self) -> None:
        """Stop the server, and the process that commands were forked from."""
        if self._preloaded is not None:
            self._preloaded.close()
        embedded.stop(self.project)


@contextmanager
def sandbox(folder: Path) -> Iterator[Sandbox]:
    """Yield a sandbox in `folder` and stop its server at the end."""
    box = Sandbox(folder)
    try:
        yield box
    finally:
        box.close()


@contextmanager
def workplace(keep: Path | None) -> Iterator[Path]:
    """Yield `keep`, or a folder that is removed at the end."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="sigil-chaos-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def tables(database: Database) -> Tables:
    """Return every row of the tables that must be equal, as sorted text."""
    found: Tables = {}
    with database.one_transaction() as cur:
        for table, (without, instead) in TABLES.items():
            cur.execute(f"SELECT (to_jsonb(t) - %s::text[] || {instead})::text FROM {table} AS t", (list(without),))
            found[table] = sorted(row[0] for row in cur.fetchall())
    return found


def duplicates(database: Database) -> dict[str, int]:
    """Return table -> rows more than one that stand for the same thing."""
    found = {}
    with database.one_transaction() as cur:
        for table, key in ONCE.items():
            cur.execute(f"SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM {table} GROUP BY {key}) AS g")
            row = cur.fetchone()
            found[table] = int(row[0]) if row else 0
    return found


def differences(expected: Tables, found: Tables) -> dict[str, list[str]]:
    """Return table -> rows that are in one only, missing ones marked with `-`, surplus ones with `+`."""
    result = {}
    for table in expected:
        left, right = Counter(expected[table]), Counter(found[table])
        result[table] = [f"- {row}" for row in (left - right).elements()] + [
            f"+ {row}" for row in (right - left).elements()
        ]
    return result


def unequal(expected: Sequence[Any], found: Sequence[Any]) -> int:
    """Return how many items of two lists differ, place by place."""
    return sum(bool(a != b) for a, b in zip(expected, found, strict=False)) + abs(len(expected) - len(found))


class Watch:
    """Looks at a session from outside, on a connection of its own, which it makes again when the server comes back."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._link: connection | None = None

    def last_minute(self) -> int:
        """Return the open time of the last committed minute, ms; 0 before the first."""
        return int(self._ask("SELECT coalesce(max(open_ms), 0) FROM paper_minutes")[0][0])

    def connections(self) -> list[tuple[str, str, float]]:
        """Return (state, last statement, Unix time it came into this state) of each other connection to the database."""
        return [
            (state or "", query, float(at or 0.0))
            for state, query, at in self._ask(
                "SELECT state, query, extract(epoch FROM state_change) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        ]

    def session_is_open(self) -> bool:
        """Return whether the record has a session that has not ended."""
        return bool(self._ask("SELECT 1 FROM paper_sessions WHERE ended_at IS NULL"))

    def session_backend(self) -> int | None:
        """Return the process of the server that serves the session's own connection, the one that holds its lock."""
        found = self._ask(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
            f" AND (classid::bigint << 32) + objid::bigint = {SESSION_LOCK}"
        )
        return int(found[0][0]) if found else None

    def session_writes(self) -> bool:
        """Return whether the session has written something that it has not committed yet."""
        return bool(
            self._ask(
                "SELECT 1 FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid WHERE l.locktype = 'advisory'"
                f" AND l.granted AND (l.classid::bigint << 32) + l.objid::bigint = {SESSION_LOCK}"
                " AND a.backend_xid IS NOT NULL"
            )
        )

    def holds_a_symbol(self) -> bool:
        """Return whether a transaction holds the lock of a symbol or of the variant's entries: it enters or leaves."""
        return bool(
            self._ask(
                "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                f" AND (classid::bigint << 32) + objid::bigint <> {SESSION_LOCK}"
            )
        )

    def close(self) -> None:
        """Close the connection."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def _ask(self, statement: str) -> list[tuple[Any, ...]]:
        for _ in range(600):
            try:
                if self._link is None:
                    self._link = self._database.connect()
                    self._link.autocommit = True
                with closing(self._link.cursor()) as cur:
                    cur.execute(statement)
                    return cur.fetchall()
            except (psycopg2.Error, DatabaseUnavailable):
                self.close()
                time.sleep(0.1)
        raise DatabaseUnavailable("the server did not come back within a minute")


class Verdict:
    """Figures and checks of a script, printed as they come, written to a JSON file at the end."""

    def __init__(self, title: str) -> None:
        self.figures: dict[str, Any] = {"command": " ".join(["python", *sys.argv])}
        self.failed: list[str] = []
        self._began = time.monotonic()
        print(title, flush=True)

    def figure(self, name: str, value: Any) -> None:
        """Print a figure and keep it."""
        self.figures[name] = value
        shown = json.dumps(value) if isinstance(value, dict | list) else value
        print(f"  {name:<46} {shown}", flush=True)

    def check(self, what: str, holds: bool, detail: object = "") -> None:
        """Print whether something holds."""
        self.figures[what] = bool(holds)
        print(f"  {'ok    ' if holds else 'FAILED'} {what}{f': {detail}' if detail and not holds else ''}", flush=True)
        if not holds:
            self.failed.append(what)

    def compare(self, expected: Tables, found: Tables, database: Database) -> None:
        """Compare two databases' tables, and look for rows that are there twice."""
        differing = differences(expected, found)
        for table, rows in differing.items():
            for row in rows[:3]:
                print(f"    {table} {row[:300]}")
        self.figure("rows compared", sum(map(len, expected.values())))
        self.figure("rows that differ", {table: len(rows) for table, rows in differing.items() if rows})
        doubled = {table: n for table, n in duplicates(database).items() if n}
        self.figure("duplicate rows", doubled)
        self.check("tables equal those of the undisturbed run", not any(differing.values()))
        self.check("nothing is there twice", not doubled)

    def compare_trades(self, expected: Sequence[Any], found: Sequence[Any]) -> None:
        """Compare two lists of trades, field by field."""
        self.figure("trades compared", len(expected))
        self.figure("trades that differ", unequal(expected, found))
        self.check("trades equal those of the undisturbed run", list(expected) == list(found))

    def end(self, file: Path | None) -> int:
        """Print the outcome and return the exit status."""
        self.figure("took, s", round(time.monotonic() - self._began))
        if file is not None:
            file.write_text(json.dumps(self.figures, indent=2) + "\n", encoding="utf-8")
        print("all checks hold" if not self.failed else f"FAILED: {', '.join(self.failed)}", flush=True)
        return 1 if self.failed else 0


def common_options(about: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that the scripts share."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", default="unhinged")
    parser.add_argument("--candles", type=Path, default=SAMPLE)
    parser.add_argument("--start", help="first instant of the session, UTC; earlier candles are its warm-up")
    parser.add_argument("--finish", help="instant after the last candle, UTC")
    parser.add_argument("--set", action="append", default=[], help="as for sigil run paper")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--preloaded", action="store_true", help="fork each start from a process with everything imported"
    )
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it")
    parser.add_argument("--json", type=Path, help="write the figures there")
    return parser


def period(options: argparse.Namespace) -> list[str]:
    """Return the candles that were chosen, as sigil's options."""
    line = ["--candles", str(options.candles.resolve())]
    for name in ("start", "finish"):
        line += [f"--{name}", value] if (value := getattr(options, name)) else []
    return line


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Return median and extremes."""
    if not values:
        return "none"
    return f"median {statistics.median(values):.{digits}f}, {min(values):.{digits}f} to {max(values):.{digits}f}"


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` (0..1) of `values` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
