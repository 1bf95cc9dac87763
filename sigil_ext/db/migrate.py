"""The migration runner: `migrations/NNN_name.up.sql` and `.down.sql`, one transaction a file, one runner a database.

Never half-way: what is killed or fails in a file leaves the database at the file before. Start at `up`.

The applied versions are kept in the earlier bot's own table `schema_migrations`. A database that has it at 013 is taken
over as it is; the column `sha256`, added by the first file applied here, tells apart what Sigil ran (and guards it
against later changes) from what it found.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg2
from psycopg2.extensions import connection, cursor

from sigil_ext.db.connection import Database
from sigil_ext.db.journal import SESSION_LOCK
from sigil_ext.db.queries import load
from sigil_ext.errors import DatabaseUnavailable, LockHeld, MigrationError

FIRST = 13
LOCK_KEY = 0x5167_6D69_6772_6174  # any fixed number will do; locks do not cross databases
WAIT_FOR_OTHER_RUNNER_S = 600
WAIT_FOR_TABLE_S = 15
_FILE = re.compile(r"^(\d{3})_([a-z0-9_]+)\.(up|down)\.sql$")
_EARLIER_TABLES = ("signals", "paper_positions", "micro_positions", "symbol_protections", "system_state")


@dataclass(frozen=True, slots=True)
class Migration:
    """One version: the SQL that leads to it, the SQL that leads back, and the hash of the first."""

    version: int
    name: str
    up: str
    down: str
    sha256: str

    @property
    def label(self) -> str:
        return f"{self.version:03d}_{self.name}"


@dataclass(frozen=True, slots=True)
class Step:
    """A file that was run."""

    version: int
    label: str
    direction: str
    seconds: float


@dataclass(frozen=True, slots=True)
class AppliedRow:
    """A row of schema_migrations; `sha256` is None for what the earlier bot applied."""

    version: int
    name: str
    applied_at: datetime
    sha256: str | None


@dataclass(frozen=True, slots=True)
class State:
    """Where a database stands: its rows, and the files that are still to be applied."""

    version: int
    applied: tuple[AppliedRow, ...]
    pending: tuple[Migration, ...]
    taken_over: bool
    """True when the earlier bot made the database and Sigil found it at 013."""


def load_migrations(folder: Path) -> list[Migration]:
    """Return the migrations of `folder`, lowest version first.

    Raises:
        MigrationError: the folder is empty, a file has an odd name, a version is there twice or lacks its way back.
    """
    texts: dict[tuple[int, str], str] = {}
    names: dict[int, str] = {}
    for path in sorted(p for p in folder.iterdir() if p.suffix == ".sql") if folder.is_dir() else ():
        match = _FILE.match(path.name)
        if not match:
            raise MigrationError(f"migrations/{path.name} is not named like 014_some_name.up.sql or .down.sql")
        version, name, direction = int(match[1]), match[2], match[3]
        if names.setdefault(version, name) != name:
            raise MigrationError(f"migrations/ holds version {version:03d} twice: {names[version]} and {name}")
        texts[version, direction] = path.read_text(encoding="utf-8")
    if not names:
        raise MigrationError(f"no migrations in {folder}; restore the folder from the project")
    for version, name in names.items():
        for direction in ("up", "down"):
            if (version, direction) not in texts:
                raise MigrationError(f"migrations/{version:03d}_{name}.{direction}.sql is missing")
    return [
        Migration(v, names[v], texts[v, "up"], texts[v, "down"], hashlib.sha256(texts[v, "up"].encode()).hexdigest())
        for v in sorted(names)
    ]


def up(database: Database, folder: Path, to: int | None = None) -> list[Step]:
    """Apply every file after the database's version, up to and with `to` (default: the newest).

    Raises:
        MigrationError: `to` names no file, an applied file was changed, the database is not one that can be migrated,
            or a file failed (and was undone).
        LockHeld: a paper session runs on the database, or another runner has been at work for too long.
    """
    migrations = load_migrations(folder)
    _demand_known(to, migrations)
    with _runner(database) as link:
        state = _read(link, database, migrations)
        wanted = [m for m in state.pending if to is None or m.version <= to]
        if wanted:
            _demand_no_session(link, database, keep=False)
        return [_run(link, database, m, "up") for m in wanted]


def down(database: Database, folder: Path, to: int) -> list[Step]:
    """Take back every file after version `to`, newest first; 0 takes back all.

    Raises:
        MigrationError: as for `up`; or the way leads back past the point where Sigil found the earlier bot's database.
        LockHeld: as for `up`.
    """
    migrations = load_migrations(folder)
    _demand_known(to, migrations)
    with _runner(database) as link:
        state = _read(link, database, migrations)
        if to < FIRST and state.taken_over:
            raise MigrationError(
                f"version {FIRST:03d} is the earlier bot's own and was not made by Sigil; the way back ends at --to {FIRST}"
            )
        wanted = [m for m in reversed(migrations) if to < m.version <= state.version]
        if wanted:
            _demand_no_session(link, database, keep=True)
        return [_run(link, database, m, "down") for m in wanted]


def state(database: Database, folder: Path) -> State:
    """Return where the database stands. Changes nothing and waits for nobody.

    Raises:
        MigrationError: an applied file was changed or is missing, or the database is not one that can be migrated.
    """
    migrations = load_migrations(folder)
    with contextlib.closing(database.connect()) as link:
        return _read(link, database, migrations)


def owner(cur: cursor) -> str | None:
    """Return the variant that this database belongs to, None before 014."""
    cur.execute(
        "SELECT column_default FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name = 'micro_positions' AND column_name = 'variant_id'"
    )
    row = cur.fetchone()
    match = re.match(r"^'((?:[^']|'')*)'::text$", row[0]) if row and row[0] else None
    return match[1].replace("''", "'") if match else None


def check_target(folder: Path, to: int | None) -> None:
    """Raise MigrationError unless `to` is a version of `folder`, 0 or None."""
    _demand_known(to, load_migrations(folder))


def _demand_known(to: int | None, migrations: Sequence[Migration]) -> None:
    known = [0, *(m.version for m in migrations)]
    if to is not None and to not in known:
        raise MigrationError(f"there is no migration {to}; known: {', '.join(map(str, known))}")


def demand_no_session(database: Database) -> None:
    """Raise LockHeld while a paper session runs on `database`."""
    with contextlib.closing(database.connect()) as link:
        _demand_no_session(link, database, keep=False)


def _demand_no_session(link: connection, database: Database, *, keep: bool) -> None:
    """Raise LockHeld while a paper session runs: its tables must not change under it.

    Args:
        keep: let none begin before `link` is closed. Not wanted on the way up: whoever begins then waits for this runner
            anyway, since the database is not yet at the newest version, and would take it for a session.
    """
    with link, link.cursor() as cur:
        if keep:
            cur.execute("SELECT NOT pg_try_advisory_lock(%s)", (SESSION_LOCK,))
        else:
            cur.execute(load("status")["session_lock"], {"key": SESSION_LOCK})
        if (row := cur.fetchone()) is not None and row[0]:
            raise LockHeld(
                f"a paper session of variant '{database.variant}' runs on the {database.address.place}; stop it first, "
                "then do this again"
            )


@contextlib.contextmanager
def _runner(database: Database) -> Iterator[connection]:
    """A connection that holds the runner's lock of its database; the server frees it when the connection ends."""
    with contextlib.closing(database.connect()) as link:
        try:
            with link, link.cursor() as cur:
                cur.execute("SELECT set_config('lock_timeout', %s, true)", (f"{WAIT_FOR_OTHER_RUNNER_S}s",))
                cur.execute("SELECT pg_advisory_lock(%s)", (LOCK_KEY,))
            yield link
        except psycopg2.errors.LockNotAvailable:
            raise LockHeld(f"another migration of the {database.address.place} is still running; wait for it") from None
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            raise DatabaseUnavailable(f"lost the {database.address.place}: {' '.join(str(error).split())}") from error


def _read(link: connection, database: Database, migrations: Sequence[Migration]) -> State:
    place = database.address.place
    with link, link.cursor() as cur:
        applied = _applied(cur, place)
        belongs_to = owner(cur)
    if belongs_to is not None and belongs_to != database.variant:
        raise MigrationError(
            f"the {place} belongs to variant '{belongs_to}', not '{database.variant}'; give each variant its own"
        )
    version = max((row.version for row in applied), default=0)
    rows = {row.version: row for row in applied}
    if applied and version < FIRST:
        raise MigrationError(f"the {place} is at {version:03d} of the earlier bot; bring it to {FIRST:03d} first")
    if version > migrations[-1].version:
        raise MigrationError(
            f"the {place} is at {version:03d}, newer than this Sigil ({migrations[-1].version:03d}); update Sigil, or with "
            f"the newer one: sigil migrate down --to {migrations[-1].version} --variant {database.variant}"
        )
    for migration in migrations:
        if migration.version > version:
            continue
        row = rows.get(migration.version)
        if row is None:
            raise MigrationError(f"the {place} is at {version:03d} but {migration.label} was never applied")
        if row.sha256 is not None and row.sha256 != migration.sha256:
            raise MigrationError(
                f"migrations/{migration.label}.up.sql was changed after it was applied to the {place}; restore the file "
                "and put the change into a new one"
            )
    return State(
        version,
        applied,
        tuple(m for m in migrations if m.version > version),
        taken_over=FIRST in rows and rows[FIRST].sha256 is None,
    )


def _applied(cur: cursor, place: str) -> tuple[AppliedRow, ...]:
    cur.execute(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
        " AND (table_name = ANY(%s) OR table_name = 'schema_migrations')",
        (list(_EARLIER_TABLES),),
    )
    columns = {(str(table), str(column)) for table, column in cur.fetchall()}
    tables = {table for table, _ in columns}
    if "schema_migrations" not in tables:
        if tables:
            raise MigrationError(
                f"the {place} holds {', '.join(sorted(tables))} but no schema_migrations, so its version is unknown; "
                "use an empty database"
            )
        return ()
    if not {("schema_migrations", c) for c in ("version", "name", "applied_at")} <= columns:
        raise MigrationError(f"the {place} holds a schema_migrations of another program; use a database of its own")
    sha256 = "sha256" if ("schema_migrations", "sha256") in columns else "NULL"
    cur.execute(f"SELECT version, name, applied_at, {sha256} FROM schema_migrations ORDER BY version")
    return tuple(AppliedRow(*row) for row in cur.fetchall())


def _run(link: connection, database: Database, migration: Migration, direction: str) -> Step:
    began = time.monotonic()
    label = f"migrations/{migration.label}.{direction}.sql"
    try:
        with link, link.cursor() as cur:
            cur.execute(
                "SELECT set_config('lock_timeout', %s, true), set_config('sigil.variant', %s, true)",
                (f"{WAIT_FOR_TABLE_S}s", database.variant),
            )
            cur.execute(migration.up if direction == "up" else migration.down)
            if direction == "up":
                _note(cur, migration)
            else:
                _forget(cur, migration)
    except psycopg2.errors.LockNotAvailable:
        raise MigrationError(
            f"{label} was undone: another program holds a table of the {database.address.place}; stop it and try again"
        ) from None
    except psycopg2.Error as error:
        if link.closed or error.pgcode is None:
            raise
        raise MigrationError(f"{label} failed and was undone: {' '.join(str(error).split())}") from error
    return Step(migration.version, migration.label, direction, time.monotonic() - began)


def _note(cur: cursor, migration: Migration) -> None:
    cur.execute("ALTER TABLE schema_migrations ADD COLUMN IF NOT EXISTS sha256 text")
    cur.execute(
        "INSERT INTO schema_migrations (version, name, sha256) VALUES (%s, %s, %s)"
        " ON CONFLICT (version) DO UPDATE SET sha256 = EXCLUDED.sha256",
        (migration.version, migration.name, migration.sha256),
    )


def _forget(cur: cursor, migration: Migration) -> None:
    cur.execute("SELECT to_regclass('public.schema_migrations')")
    if (row := cur.fetchone()) is None or row[0] is None:
        return  # 013 took the table with it
    cur.execute("DELETE FROM schema_migrations WHERE version = %s", (migration.version,))
    cur.execute("SELECT EXISTS (SELECT FROM schema_migrations WHERE sha256 IS NOT NULL)")
    if (row := cur.fetchone()) is not None and not row[0]:
        cur.execute("ALTER TABLE schema_migrations DROP COLUMN sha256")
