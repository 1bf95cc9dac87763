"""The doctor's checks of the databases: the embedded server, and each variant's own. Starts, makes and migrates nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg2

from sigil_ext.db import embedded, migrate, reading
from sigil_ext.db.connection import Database, exists
from sigil_ext.errors import SettingsError, SigilError
from sigil_ext.rules import liveness
from sigil_ext.services.database import made_by_sigil
from sigil_ext.services.examination import CLOCK_NOTED_S, Examination, Level, Line
from sigil_ext.services.status import side_by_side
from sigil_ext.settings.environment import Environment
from sigil_ext.settings.overlays import RESEARCH_ONLY, TRADED_VARIANTS, known_variants

SERVERS = range(15, 18)
LIMIT_S = 10.0


def embedded_server(seen: Examination) -> list[Line]:
    """Say whether the embedded server runs, where it is needed."""
    found = embedded.status(seen.project)
    if seen.environment is not None and all(_own(seen.environment, v) for v in TRADED_VARIANTS):
        return [Line("embedded server", "ok", "not in use: .env names servers")]
    if found.running:
        return [Line("embedded server", "ok", f"PostgreSQL {found.version} runs on {found.host}:{found.port}")]
    state = "stopped" if found.initialised else "not made yet"
    return [Line("embedded server", "ok", f"PostgreSQL {found.version}, {state}; a command that needs it starts it")]


def of_variants(seen: Examination) -> list[Line]:
    """Say of each variant's database where it is and how it stands, all at once; notes who follows a live feed."""
    if seen.environment is None:
        return []
    names = [v for v in known_variants(seen.project) if v not in RESEARCH_ONLY]
    found = side_by_side(names, lambda variant: _database(variant, seen), LIMIT_S)
    slow = f"no answer within {LIMIT_S:g} s"
    return [
        line
        for v in names
        for line in found.get(v, [Line(f"database of {v}", "problem", slow, "look at the server and the way to it")])
    ]


def _database(variant: str, seen: Examination) -> list[Line]:
    check = f"database of {variant}"
    try:
        database = reading.find_database(seen.project, variant)
        if database is None:
            return [Line(check, "ok", "on the embedded server, which does not run")]
        if not exists(database.address):
            if database.embedded:
                return [Line(check, "ok", "not made yet; the first command that needs it does")]
            return [
                Line(check, "note", f"there is no {database.address.place}", f"sigil migrate up --variant {variant}")
            ]
        try:
            return _read_database(check, database, seen)
        finally:
            database.close()
    except SigilError as error:
        found, _, way_out = str(error).rpartition("; ")
        return [Line(check, "problem", found or str(error), way_out if found else "")]
    except psycopg2.Error as error:
        return [Line(check, "problem", " ".join(str(error).split())[:200], "look at the server's log")]


def _read_database(check: str, database: Database, seen: Examination) -> list[Line]:
    standing = migrate.state(database, seen.project.migrations)
    with database.transaction() as cur:
        cur.execute("SET LOCAL statement_timeout = '5s'")
        before = datetime.now(UTC)
        cur.execute(
            "SELECT clock_timestamp(), current_setting('server_version_num')::int, pg_database_size(current_database())"
        )
        row = cur.fetchone()
        after = datetime.now(UTC)
        assert row is not None
        now, version, size = row
        if not standing.pending:
            cur.execute("SELECT feed FROM paper_sessions WHERE ended_at IS NULL")
            seen.live += [database.variant for (feed,) in cur.fetchall() if feed in liveness.LIVE_FEEDS]
    here = before + (after - before) / 2
    found = f"{database.address.place}, PostgreSQL {version // 10000}.{version % 10000}, {size / 1e6:.0f} MB"
    lines = [_schema(check, found, database, standing)]
    if version // 10000 not in SERVERS:
        lines = [Line(check, "problem", found, "use PostgreSQL 15, 16 or 17")]
    apart_s = abs((now - here).total_seconds())
    if apart_s > CLOCK_NOTED_S:
        level: Level = "problem" if liveness.clock_skew(now, here) else "note"
        said = f"{apart_s:.0f} s {'ahead of' if now > here else 'behind'} this machine's"
        lines.append(Line(f"clock of {check}", level, said, "keep both machines' clocks by NTP"))
    return lines


def _schema(check: str, found: str, database: Database, standing: migrate.State) -> Line:
    said = f"{found}, schema {standing.version:03d}"
    if not standing.pending:
        return Line(check, "ok", said)
    newest = standing.pending[-1].version
    if database.embedded or made_by_sigil(standing):
        return Line(check, "note", f"{said}, newest is {newest:03d}", "the next command that needs it migrates it")
    way_out = f"back it up, then: sigil migrate up --variant {database.variant}"
    return Line(check, "problem", f"{said}, newest is {newest:03d}", way_out)


def _own(environment: Environment, variant: str) -> bool:
    try:
        return environment.database(variant) is not None
    except SettingsError:
        return True  # an address that cannot be read is one; the variant's own line says what is wrong
