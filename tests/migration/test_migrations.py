"""The migrations, run on an empty database and on one of the earlier bot, up, down and up again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from sigil_ext.db import migrate
from sigil_ext.db.connection import Database
from sigil_ext.errors import LockHeld, MigrationError

HERE = Path(__file__).parent
LEGACY = HERE / "legacy"
SHARED = HERE.parents[2] / "shared" / "legacy"
MIGRATIONS = HERE.parents[1] / "migrations"
NEWEST = migrate.load_migrations(MIGRATIONS)[-1].version
VERSIONS = [m.version for m in migrate.load_migrations(MIGRATIONS)]

CATALOGUE = {
    "columns": """
        SELECT table_name, column_name, data_type, column_default, is_nullable, is_identity, identity_generation
        FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2""",
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2",
    "constraints": """
        SELECT conrelid::regclass::text, conname, contype::text, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2""",
    "sequences": "SELECT sequencename, data_type::text, start_value FROM pg_sequences WHERE schemaname = 'public' ORDER BY 1",
    "others": """
        SELECT relname, relkind::text FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1
        """,
}
NOT_DATA = {"schema_migrations": ("applied_at", "sha256"), "superseded_positions": ("superseded_at",)}


def rows(database: Database, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with database.transaction() as cur:
        cur.execute(query, values or None)
        return cur.fetchall() if cur.description else []


def catalogue(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    return {name: rows(database, query) for name, query in CATALOGUE.items()}


def data(database: Database) -> dict[str, list[str]]:
    """Every row of every table as sorted text, without the times at which migrations ran."""
    found = {}
    for (table,) in rows(database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"):
        drop = "".join(f" - '{column}'" for column in NOT_DATA.get(table, ()))
        found[table] = sorted(r[0] for r in rows(database, f"SELECT (to_jsonb(t){drop})::text FROM {table} AS t"))
    return found


def snapshot(database: Database) -> tuple[Any, Any]:
    return catalogue(database), data(database)


@pytest.fixture
def legacy_database(empty_database: Database) -> Database:
    """A database as the earlier bot left it: schema 013 and its sample."""
    for name in ("013_schema.sql", "013_sample.sql"):
        rows(empty_database, (LEGACY / name).read_text())
    return empty_database


# --- 013 --------------------------------------------------------------------------------------------------------------


def test_013_is_the_schema_of_the_earlier_bot(empty_database, new_database):
    migrate.up(empty_database, MIGRATIONS, to=13)
    old = new_database()
    rows(old, (LEGACY / "013_schema.sql").read_text())
    ours, theirs = catalogue(empty_database), catalogue(old)
    # The one thing more: where the runner notes the hash of the file it ran.
    note = ("schema_migrations", "sha256", "text", None, "YES", "NO", None)
    assert note in ours["columns"]
    ours["columns"].remove(note)
    assert ours == theirs
    assert data(empty_database) == data(old)
    old.close()


@pytest.mark.parametrize("name", ["013_schema.sql", "013_sample.sql"])
def test_the_copies_of_the_earlier_bots_files_are_true(name):
    if not SHARED.is_dir():
        pytest.skip(f"no {SHARED}: the originals are not on this machine")
    assert (LEGACY / name).read_bytes() == (SHARED / name).read_bytes()


# --- up, down, up -----------------------------------------------------------------------------------------------------


def test_an_empty_database_goes_up_down_and_up_again_without_a_difference(empty_database):
    nothing = snapshot(empty_database)
    steps = migrate.up(empty_database, MIGRATIONS)
    assert [s.version for s in steps] == VERSIONS
    newest = snapshot(empty_database)
    assert [s.version for s in migrate.down(empty_database, MIGRATIONS, 0)] == VERSIONS[::-1]
    assert snapshot(empty_database) == nothing
    migrate.up(empty_database, MIGRATIONS)
    assert snapshot(empty_database) == newest


def test_the_earlier_bots_database_goes_up_down_and_up_again_without_a_difference(legacy_database):
    found = snapshot(legacy_database)
    assert [s.version for s in migrate.up(legacy_database, MIGRATIONS)] == VERSIONS[1:]
    newest = snapshot(legacy_database)
    migrate.down(legacy_database, MIGRATIONS, 13)
    assert snapshot(legacy_database) == found
    migrate.up(legacy_database, MIGRATIONS)
    assert snapshot(legacy_database) == newest


@pytest.mark.parametrize("version", VERSIONS[1:])
def test_each_migration_alone_comes_back_to_where_it_began(legacy_database, version):
    migrate.up(legacy_database, MIGRATIONS, to=version - 1)
    before = snapshot(legacy_database)
    assert [s.version for s in migrate.up(legacy_database, MIGRATIONS, to=version)] == [version]
    after = snapshot(legacy_database)
    assert [s.version for s in migrate.down(legacy_database, MIGRATIONS, version - 1)] == [version]
    assert snapshot(legacy_database) == before
    migrate.up(legacy_database, MIGRATIONS, to=version)
    assert snapshot(legacy_database) == after


def test_up_twice_and_to_a_version_already_passed_does_nothing(legacy_database):
    migrate.up(legacy_database, MIGRATIONS)
    assert migrate.up(legacy_database, MIGRATIONS) == []
    assert migrate.up(legacy_database, MIGRATIONS, to=14) == []
    assert migrate.down(legacy_database, MIGRATIONS, NEWEST) == []


def test_both_ways_lead_to_the_same_tables(empty_database, legacy_database, new_database):
    fresh = new_database()
    migrate.up(fresh, MIGRATIONS)
    migrate.up(legacy_database, MIGRATIONS)
    assert catalogue(legacy_database) == catalogue(fresh)
    fresh.close()


# --- taking over ------------------------------------------------------------------------------------------------------


def test_of_several_open_rows_the_oldest_stays_open_and_none_is_deleted(legacy_database):
    before = rows(legacy_database, "SELECT id, symbol, opened_at FROM micro_positions ORDER BY id")
    migrate.up(legacy_database, MIGRATIONS)
    assert rows(legacy_database, "SELECT id, symbol, opened_at FROM micro_positions ORDER BY id") == before
    still_open = rows(
        legacy_database, "SELECT symbol, to_char(opened_at, 'DD HH24:MI') FROM micro_positions WHERE status = 'open'"
    )
    assert sorted(still_open) == [
        ("HMSTRUSDT", "04 10:00"), ("NFPUSDT", "02 04:00"), ("ORCAUSDT", "06 16:45"), ("TSTUSDT", "02 01:15"),
    ]  # fmt: skip
    assert rows(legacy_database, "SELECT position_id, kept_id, status_before FROM superseded_positions ORDER BY 1") == [
        (2, 1, "open"), (3, 1, "open"), (4, 1, "open"), (5, 1, "open"), (7, 6, "open"), (8, 6, "open"), (9, 6, "open"),
    ]  # fmt: skip
    assert rows(legacy_database, "SELECT count(*) FROM micro_positions WHERE status = 'superseded'") == [(7,)]
    assert rows(legacy_database, "SELECT DISTINCT variant_id FROM micro_positions") == [("baseline",)]


def test_the_way_back_leaves_alone_what_was_changed_since(legacy_database):
    migrate.up(legacy_database, MIGRATIONS)
    rows(legacy_database, "UPDATE micro_positions SET status = 'closed', exit_reason = 'manual' WHERE id = 2")
    migrate.down(legacy_database, MIGRATIONS, 13)
    assert rows(legacy_database, "SELECT id, status FROM micro_positions WHERE id IN (2, 3) ORDER BY id") == [
        (2, "closed"),
        (3, "open"),
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_earlier_bots_own_inserts_keep_working(legacy_database, version):
    migrate.up(legacy_database, MIGRATIONS, to=version)
    with closing(legacy_database.connect()) as link, link, link.cursor() as cur:  # its own, new connection
        cur.execute(
            "INSERT INTO micro_positions (symbol, status, qty, entry_price, high_water, opened_at)"
            " VALUES ('PSGUSDT', 'open', 41.0, 2.4, 2.4, now())"
        )
        cur.execute("INSERT INTO paper_positions (symbol, qty, entry_price) VALUES ('PSGUSDT', 41.0, 2.4)")
        cur.execute("INSERT INTO symbol_protections (symbol, expires_at) VALUES ('PSGUSDT', now())")
        cur.execute("INSERT INTO signals (symbol, rule, score, rsi) VALUES ('PSGUSDT', 'rsi_breakout', 0.5, 60)")
        cur.execute("INSERT INTO system_state (key, value) VALUES ('mode', '\"draft\"')")
        cur.execute(
            "UPDATE micro_positions SET status = 'closed', exit_price = 2.5, closed_at = now(), exit_reason = 'atr_trail',"
            " fees_usd = 0.2, pnl_usd = 3.9 WHERE symbol = 'PSGUSDT'"
        )
    if version >= 14:
        assert rows(legacy_database, "SELECT DISTINCT variant_id FROM micro_positions") == [("baseline",)]


def test_the_default_is_the_databases_own_variant(new_database):
    database = new_database("unhinged")
    migrate.up(database, MIGRATIONS)
    rows(database, "INSERT INTO micro_positions (symbol, qty, entry_price) VALUES ('TSTUSDT', 1, 1)")
    assert rows(database, "SELECT variant_id FROM micro_positions") == [("unhinged",)]
    other = Database("moderate", database.address)
    with pytest.raises(MigrationError, match="belongs to variant 'unhinged', not 'moderate'"):
        migrate.state(other, MIGRATIONS)
    database.close()


def test_a_taken_over_database_is_told_from_one_that_sigil_made(legacy_database, new_database):
    assert migrate.state(legacy_database, MIGRATIONS).taken_over
    migrate.up(legacy_database, MIGRATIONS)
    assert migrate.state(legacy_database, MIGRATIONS).taken_over
    fresh = new_database()
    assert not migrate.state(fresh, MIGRATIONS).taken_over
    migrate.up(fresh, MIGRATIONS)
    assert not migrate.state(fresh, MIGRATIONS).taken_over
    fresh.close()


def test_the_earlier_bots_tables_are_never_dropped(legacy_database):
    migrate.up(legacy_database, MIGRATIONS)
    with pytest.raises(MigrationError, match="the way back ends at --to 13"):
        migrate.down(legacy_database, MIGRATIONS, 0)
    assert migrate.state(legacy_database, MIGRATIONS).version == NEWEST


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    """A copy of the migrations that a test may spoil."""
    return Path(shutil.copytree(MIGRATIONS, tmp_path / "migrations"))


def test_a_file_that_changed_after_it_was_applied_is_refused_by_name(empty_database, own_folder):
    migrate.up(empty_database, own_folder)
    with (own_folder / "015_protection_history.up.sql").open("a") as file:
        file.write("-- one more thought\n")
    for act in (
        lambda: migrate.up(empty_database, own_folder),
        lambda: migrate.down(empty_database, own_folder, 13),
        lambda: migrate.state(empty_database, own_folder),
    ):
        with pytest.raises(MigrationError, match=r"015_protection_history\.up\.sql was changed after it was applied"):
            act()
    migrate.state(empty_database, MIGRATIONS)


def test_a_file_that_fails_is_undone_and_named(empty_database, own_folder):
    migrate.up(empty_database, own_folder)
    before = snapshot(empty_database)
    (own_folder / "090_wrong.up.sql").write_text("CREATE TABLE good (id int); SELECT 1/0;")
    (own_folder / "090_wrong.down.sql").write_text("DROP TABLE good;")
    with pytest.raises(MigrationError, match=r"090_wrong\.up\.sql failed and was undone: division by zero"):
        migrate.up(empty_database, own_folder)
    assert snapshot(empty_database) == before


@pytest.mark.parametrize("to", [-1, 5, 12, 99])
def test_an_unknown_version_is_refused_with_the_known_ones(empty_database, to):
    for run in (migrate.up, migrate.down):
        with pytest.raises(MigrationError, match=f"there is no migration {to}; known: 0, 13, 14"):
            run(empty_database, MIGRATIONS, to)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda f: (f / "016_universe_scans.down.sql").unlink(), r"016_universe_scans\.down\.sql is missing"),
        (lambda f: (f / "016_another.up.sql").write_text(""), "holds version 016 twice"),
        (lambda f: (f / "19_short.up.sql").write_text(""), r"19_short\.up\.sql is not named like"),
        (lambda f: [p.unlink() for p in f.glob("*.sql")], "no migrations in"),
    ],
)
def test_a_folder_that_is_not_in_order_is_refused(own_folder, spoil, sentence):
    spoil(own_folder)
    with pytest.raises(MigrationError, match=sentence):
        migrate.load_migrations(own_folder)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        ("DELETE FROM schema_migrations WHERE version = 15", "015_protection_history was never applied"),
        ("INSERT INTO schema_migrations (version, name) VALUES (99, 'future')", "newer than this Sigil"),
        ("DELETE FROM schema_migrations WHERE version > 12", "is at 012 of the earlier bot; bring it to 013"),
        ("DROP TABLE schema_migrations", "no schema_migrations, so its version is unknown"),
        ("ALTER TABLE schema_migrations RENAME version TO id", "schema_migrations of another program"),
    ],
)
def test_a_database_that_is_not_in_order_is_refused_and_left_alone(empty_database, spoil, sentence):
    migrate.up(empty_database, MIGRATIONS)
    rows(empty_database, spoil)
    before = snapshot(empty_database)
    for act in (migrate.up, migrate.state):
        with pytest.raises(MigrationError, match=sentence):
            act(empty_database, MIGRATIONS)
    assert snapshot(empty_database) == before


def test_a_table_that_a_running_bot_holds_is_an_error_in_words(legacy_database, monkeypatch):
    monkeypatch.setattr(migrate, "WAIT_FOR_TABLE_S", 0.2)
    with closing(legacy_database.connect()) as bot, bot, bot.cursor() as cur:
        cur.execute("LOCK TABLE micro_positions")
        with pytest.raises(MigrationError, match="another program holds a table"):
            migrate.up(legacy_database, MIGRATIONS)
    assert migrate.state(legacy_database, MIGRATIONS).version == 13


# --- two runners, kill -9 ---------------------------------------------------------------------------------------------


def test_two_runners_at_once_apply_each_file_once(legacy_database):
    done: list[Any] = []
    gate = threading.Barrier(2)

    def run() -> None:
        gate.wait()
        try:
            done.append(migrate.up(Database("baseline", legacy_database.address), MIGRATIONS))
        except Exception as error:  # noqa: BLE001 - the test wants to see whatever came
            done.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(steps) for steps in done) == [0, len(VERSIONS) - 1]


def test_a_runner_waits_for_another_only_so_long(legacy_database, monkeypatch):
    monkeypatch.setattr(migrate, "WAIT_FOR_OTHER_RUNNER_S", 0.2)
    with closing(legacy_database.connect()) as other, other, other.cursor() as cur:
        cur.execute("SELECT pg_advisory_lock(%s)", (migrate.LOCK_KEY,))
        with pytest.raises(LockHeld, match="still running"):
            migrate.up(legacy_database, MIGRATIONS)


def test_killed_in_the_middle_of_a_file_nothing_of_that_file_stays(
    legacy_database: Database, own_folder: Path, kill_during: Callable[..., None]
):
    migrate.up(legacy_database, own_folder)
    before = snapshot(legacy_database)
    (own_folder / "090_slow.up.sql").write_text("CREATE TABLE half (id int); SELECT pg_sleep(30);")
    (own_folder / "090_slow.down.sql").write_text("DROP TABLE half;")
    kill_during(legacy_database, own_folder)
    (own_folder / "090_slow.up.sql").write_text("CREATE TABLE half (id int);")
    assert snapshot(legacy_database) == before
    assert [s.version for s in migrate.up(legacy_database, own_folder)] == [90]


@pytest.fixture
def kill_during(tmp_path: Path) -> Callable[..., None]:
    """Start a runner in a process of its own and kill -9 it while it is inside a file."""

    def run(database: Database, folder: Path) -> None:
        a = database.address
        script = (
            "import sys, json; from pathlib import Path; from pydantic import SecretStr\n"
            "from sigil_ext.db import migrate; from sigil_ext.db.connection import Database\n"
            "from sigil_ext.settings.environment import DatabaseAddress\n"
            "a = json.loads(sys.stdin.read()); a['password'] = SecretStr(a['password'])\n"
            f"migrate.up(Database('baseline', DatabaseAddress(**a)), Path({str(folder)!r}))\n"
        )
        child = subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert child.stdin is not None
        address = {
            "host": a.host, "port": a.port, "user": a.user, "password": a.password.get_secret_value(), "name": a.name,
            "source": a.source,
        }  # fmt: skip
        child.stdin.write(json.dumps(address).encode())
        child.stdin.close()
        sleeping = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
        deadline = time.monotonic() + 30
        while not (busy := rows(database, sleeping)):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        child.kill()
        child.wait()
        # The server notices a lost client at its next word to it; a person would wait for the sleep to end.
        rows(database, "SELECT pg_terminate_backend(%s)", busy[0][0])

    return run


def test_from_014_on_the_index_refuses_a_second_open_row(legacy_database):
    migrate.up(legacy_database, MIGRATIONS)
    with pytest.raises(psycopg2.errors.UniqueViolation):
        rows(legacy_database, "INSERT INTO micro_positions (symbol, qty, entry_price) VALUES ('TSTUSDT', 1, 1)")
