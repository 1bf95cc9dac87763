"""Backups that are taken from a running session and go on elsewhere, and upgrades with their way back."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sigil_ext.db import backup, embedded, migrate
from sigil_ext.db.connection import Database, create_if_missing
from sigil_ext.db.journal import Journal
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.errors import LockHeld
from sigil_ext.services.database import locate_database, open_database
from sigil_ext.settings.project import Project
from sigil_ext.settings.strategies import note_session, strategy_sessions
from tests.acceptance.test_paper_replay import command, done, minutes_processed, trades, wait_for

ROOT = Path(__file__).resolve().parents[2]
LEGACY = ROOT / "tests" / "migration" / "legacy"
PERIOD = ("--candles", str(ROOT / "sample"), "--finish", "2025-06-19")
FINISHED = re.compile(r"; ended$", re.MULTILINE)


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    with database.transaction() as cur:
        cur.execute(query)
        return cur.fetchall()


def everything(database: Database) -> dict[str, list[str]]:
    """Every row of every table, as sorted text."""
    tables = backup.contents(database).tables
    return {t: sorted(r[0] for r in rows(database, f"SELECT to_jsonb(t)::text FROM {t} AS t")) for t in tables}


def unnumbered(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The trades without the numbers of their scans: a sequence is not of the instant, a number may be left out."""
    return [{k: v for k, v in trade.items() if k != "universe_id"} for trade in trades(document)]


def make_project(root: Path) -> Project:
    root.mkdir()
    for name in ("overlays", "migrations", "strategies", "sample"):
        (root / name).symlink_to(ROOT / name)
    return Project(root, root / "storage")


@pytest.fixture
def other_project(tmp_path: Path):
    """A second project, as on another machine: nothing in its storage."""
    project = make_project(tmp_path / "other")
    yield project
    embedded.stop(project)


@pytest.fixture
def own(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A fresh migrated database that commands take for baseline's."""
    a = database.address
    monkeypatch.setenv(
        "SIGIL_DATABASE_URL_BASELINE",
        f"postgresql://{a.user}:{a.password.get_secret_value()}@{a.host}:{a.port}/{a.name}",
    )
    return database


@pytest.fixture
def saved(own: Database, sigil: Callable[..., Any], server: Project, tmp_path: Path) -> Path:
    """A backup of `own` with some rows, one of which then changed: a breaker, a pause."""
    for line in (
        ("breaker", "trip", "--variant", "baseline", "--reason", "a test"),
        ("pause", "--variant", "baseline", "--reason", "before the backup"),
    ):
        assert sigil(*line, project=server).status == 0
    ran = sigil("db", "backup", "--to", str(tmp_path / "safe"), "--json", project=server)
    assert ran.status == 0, ran.err
    assert sigil("resume", "--variant", "baseline", "--reason", "after the backup", project=server).status == 0
    return Path(json.loads(ran.out)[0]["file"])


def repacked(file: Path, target: Path, change: Callable[[dict[str, Any], bytes], bytes]) -> Path:
    """A copy of a backup with another manifest or dump; the checksum is made right again."""
    with tarfile.open(file) as tar:
        manifest = json.loads(tar.extractfile("manifest.json").read())
        dump = tar.extractfile("database.dump").read()
    dump = change(manifest, dump)
    manifest["sha256"] = hashlib.sha256(dump).hexdigest()
    folder = target.parent / f"{target.name}.parts"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "database.dump").write_bytes(dump)
    with tarfile.open(target, "w") as tar:
        for name in ("manifest.json", "database.dump"):
            tar.add(folder / name, arcname=name)
    return target


# --- backup and restore -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_backup_of_a_running_session_goes_on_elsewhere_and_ends_with_the_trades_of_the_backtest(
    sigil, empty_project, other_project, tmp_path
):
    database = open_database("unhinged", empty_project)
    session = command(empty_project, "run", "paper", "--variant", "unhinged", *PERIOD, "--speed", "6000")
    for minutes in range(400, 2800, 100):
        wait_for(database, minutes, session)
        if PostgresStore(database).open_positions():
            break
    assert session.poll() is None, session.communicate()
    ran = sigil("db", "backup", "--variant", "unhinged", "--to", str(tmp_path), "--json", project=empty_project)
    assert ran.status == 0, ran.err
    said = json.loads(ran.out)[0]
    assert session.poll() is None, "the session did not notice"
    session.send_signal(signal.SIGTERM)
    done(session)
    assert minutes_processed(database) >= said["tables"]["public.paper_minutes"] > 0
    database.close()

    file = Path(said["file"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    secret = (empty_project.storage / "postgres" / "password").read_text().strip().encode()
    assert secret not in file.read_bytes()
    ran = sigil("db", "restore", str(file), "--variant", "unhinged", project=other_project)
    assert ran.status == 0, ran.err
    restored = open_database("unhinged", other_project)
    assert dict(backup.contents(restored).tables) == said["tables"]
    # One instant: the last minute, the progress in the heartbeat and the minutes in between are of the same commit.
    ((count, first, last, beat),) = rows(
        restored,
        "SELECT count(*), min(open_ms), max(open_ms), (SELECT extract(epoch FROM last_candle) * 1000 FROM scanner_heartbeat)"
        " FROM paper_minutes",
    )
    assert (last - first) // 60_000 + 1 == count
    assert last + 60_000 == beat
    # An upgrade taken back and made again, twice, is no reason not to go on; before 020 there were no checkpoints.
    for direction in (("down", "--to", "21"), ("up",), ("down", "--to", "19"), ("up",)):
        ran = sigil("migrate", *direction, "--variant", "unhinged", project=other_project)
        assert ran.status == 0, ran.err
    result = tmp_path / "paper.json"
    out = done(command(other_project, "run", "paper", "--variant", "unhinged", *PERIOD, "--json", str(result)))
    assert FINISHED.search(out), out
    backtest = command(other_project, "backtest", "--variant", "unhinged", *PERIOD, "--json")
    expected = unnumbered(json.loads(done(backtest)))
    assert len(expected) > 8
    assert unnumbered(json.loads(result.read_text())) == expected
    restored.close()


def test_a_restore_brings_back_every_row_and_the_numbers_that_come_next(sigil, server, own, saved, new_database):
    ran = sigil("db", "restore", str(saved), "--variant", "baseline", "--replace", "--yes", project=server)
    assert ran.status == 0, ran.err
    assert "counted, schema 0" in ran.out
    assert PostgresStore(own).breaker().paused, "as before the resume"
    before = rows(own, "SELECT max(id) FROM operator_acts")[0][0]
    assert sigil("resume", "--variant", "baseline", "--reason", "again", project=server).status == 0
    assert rows(own, "SELECT max(id) FROM operator_acts")[0][0] == before + 1
    state = migrate.state(own, server.migrations)
    assert state.pending == ()
    assert migrate.down(own, server.migrations, 13), "what was restored can be migrated"


def test_a_database_with_rows_is_replaced_only_when_a_person_says_so(sigil, server, own, saved, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    was = everything(own)
    ran = sigil("db", "restore", str(saved), "--variant", "baseline", project=server)
    assert (ran.status, "give --replace" in ran.err) == (2, True), ran
    ran = sigil(
        "db", "restore", str(saved), "--variant", "baseline", "--replace", project=server
    )  # nobody at the keyboard
    assert ran.status == 1
    assert "deleted for good" in ran.err
    assert ran.err.strip().endswith("error: not restored; nothing was changed")
    assert everything(own) == was


def flipped(file: Path, target: Path) -> Path:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    target.write_bytes(data)
    return target


def cut(file: Path, target: Path) -> Path:
    target.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return target


def text(file: Path, target: Path) -> Path:
    target.write_text("-- PostgreSQL database dump\n" * 100)
    return target


def foreign_tar(file: Path, target: Path) -> Path:
    with tarfile.open(target, "w") as tar:
        tar.add(ROOT / "README.md", arcname="README.md")
    return target


def half_a_dump(file: Path, target: Path) -> Path:
    return repacked(file, target, lambda manifest, dump: dump[: len(dump) * 3 // 4])


def other_counts(file: Path, target: Path) -> Path:
    def change(manifest: dict[str, Any], dump: bytes) -> bytes:
        manifest["tables"]["public.operator_acts"] += 1
        return dump

    return repacked(file, target, change)


def of_the_future(file: Path, target: Path) -> Path:
    def change(manifest: dict[str, Any], dump: bytes) -> bytes:
        manifest["schema_version"] = 900
        return dump

    return repacked(file, target, change)


def of_another(file: Path, target: Path) -> Path:
    def change(manifest: dict[str, Any], dump: bytes) -> bytes:
        manifest["variant"] = "moderate"
        return dump

    return repacked(file, target, change)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (flipped, "is damaged"),
        (cut, "is damaged"),
        (text, "is not a backup made by sigil db backup"),
        (foreign_tar, "is not a backup made by sigil db backup"),
        (half_a_dump, "is as it was"),
        (other_counts, "table public.operator_acts holds"),
        (of_the_future, "update Sigil first"),
        (of_another, "is a backup of variant 'moderate'"),
    ],
)
def test_a_file_that_is_damaged_or_foreign_is_one_sentence_and_changes_nothing(
    sigil, server, own, saved, tmp_path, spoil, says
):
    was = everything(own)
    file = spoil(saved, tmp_path / "spoiled.tar")
    ran = sigil("db", "restore", str(file), "--variant", "baseline", "--replace", "--yes", project=server)
    assert ran.status in (1, 2), ran
    assert says in ran.err
    assert len(ran.err.strip().splitlines()) == 1, ran.err
    assert everything(own) == was


def test_killed_in_the_middle_of_a_restore_the_database_is_as_it_was(sigil, server, own, tmp_path):
    with own.transaction() as cur:  # more than fits into a pipe, so that the end of the dump is still to come
        cur.execute(
            "INSERT INTO signals (symbol, rule) SELECT 'TSTUSDT', md5(random()::text) FROM generate_series(1, 20000)"
        )
    ran = sigil("db", "backup", "--to", str(tmp_path), "--json", project=server)
    file = json.loads(ran.out)[0]["file"]
    with own.transaction() as cur:
        cur.execute("DELETE FROM signals WHERE id % 2 = 0")
    was = everything(own)
    holder = own.connect()
    with holder.cursor() as cur:
        cur.execute(
            "LOCK TABLE operator_acts IN ACCESS SHARE MODE"
        )  # the restore deletes others and then waits for this
    process = subprocess.Popen(
        [sys.executable, "-m", "sigil_ext", "db", "restore", file, "--variant", "baseline", "--replace", "--yes"],
        env={**os.environ, "SIGIL_HOME": str(server.root)}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    seen = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sigil-backup'"
    until = time.monotonic() + 60
    while rows(own, f"{seen} AND wait_event_type = 'Lock'") != [(1,)]:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    secret = own.address.password.get_secret_value().encode()
    lines = [p.read_bytes() for p in Path("/proc").glob("[0-9]*/cmdline") if p.exists()]
    assert any(b"psql" in line for line in lines)
    assert not any(secret in line for line in lines), "a password on a command line"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with pytest.raises(LockHeld):
        Journal(own).lock()  # what was killed may still be clearing away: no session begins before it has ended
    holder.close()
    while rows(own, seen) != [(0,)]:
        assert time.monotonic() < until
        time.sleep(0.02)
    assert everything(own) == was
    Journal(own).lock().close()


def test_a_running_session_is_not_restored_over(sigil, server, own, saved):
    link = Journal(own).lock()
    ran = sigil("db", "restore", str(saved), "--variant", "baseline", "--replace", "--yes", project=server)
    assert (ran.status, ran.out) == (1, "")
    assert "a paper session of variant 'baseline' runs" in ran.err
    link.close()


def test_another_programs_database_is_left_alone_even_with_replace(
    sigil, server, own, saved, empty_database, monkeypatch
):
    with empty_database.transaction() as cur:
        cur.execute("CREATE TABLE customers AS SELECT 1 AS id")
    url = os.environ["SIGIL_DATABASE_URL_BASELINE"].replace(own.address.name, empty_database.address.name)
    monkeypatch.setenv("SIGIL_DATABASE_URL_BASELINE", url)
    ran = sigil("db", "restore", str(saved), "--variant", "baseline", "--replace", "--yes", project=server)
    assert (ran.status, "another program" in ran.err) == (2, True), ran
    assert rows(empty_database, "SELECT id FROM customers") == [(1,)]


def test_what_cannot_be_backed_up_is_said_and_no_half_file_stays(sigil, server, own, tmp_path, monkeypatch):
    ran = sigil("db", "backup", "--variant", "baselin", project=server)
    assert (ran.status, "did you mean 'baseline'" in ran.err) == (2, True)
    (tmp_path / "file").write_text("")
    ran = sigil("db", "backup", "--to", str(tmp_path / "file" / "x"), project=server)
    assert (ran.status, "cannot write" in ran.err) == (2, True), ran
    monkeypatch.setattr(backup, "WAIT_FOR_TABLE_S", 0.2)
    holder = own.connect()
    with holder.cursor() as cur:
        cur.execute("LOCK TABLE equity_snapshots IN ACCESS EXCLUSIVE MODE")
    ran = sigil("db", "backup", "--to", str(tmp_path / "half"), project=server)
    holder.close()
    assert ran.status == 1
    assert "another program holds a table" in ran.err
    assert list((tmp_path / "half").iterdir()) == []


def test_the_session_of_a_strategy_is_known_by_its_name_where_it_is_restored(
    sigil, empty_project, other_project, tmp_path
):
    note_session("my_idea", empty_project)
    open_database("my_idea", empty_project).close()
    assert sigil("pause", "--variant", "my_idea", "--reason", "x", project=empty_project).status == 0
    ran = sigil("db", "backup", "--all", "--to", str(tmp_path), project=empty_project)
    assert (ran.status, ran.out.split(":")[0]) == (0, "my_idea"), ran
    (file,) = tmp_path.glob("sigil-my_idea-*.tar")
    assert sigil("positions", "list", "--variant", "my_idea", project=other_project).status == 2
    assert sigil("db", "restore", str(file), "--variant", "my_ideas", project=other_project).status == 2
    assert strategy_sessions(other_project) == []
    ran = sigil("db", "restore", str(file), "--variant", "my_idea", project=other_project)
    assert ran.status == 0, ran.err
    restored = open_database("my_idea", other_project)
    assert PostgresStore(restored).breaker().paused
    restored.close()


def test_one_database_that_is_down_keeps_none_of_the_others_from_their_backup(
    sigil, server, own, tmp_path, monkeypatch
):
    for variant in ("MODERATE", "AGGRESSIVE", "UNHINGED"):
        monkeypatch.setenv(f"SIGIL_DATABASE_URL_{variant}", "postgresql://sigil:hidden@127.0.0.1:9/x")
    ran = sigil("db", "backup", "--all", "--to", str(tmp_path), "--json", project=server)
    assert ran.status == 1
    assert [bool(found["file"]) for found in json.loads(ran.out)] == [True, False, False, False]
    assert [p.name.split("-")[1] for p in tmp_path.glob("*.tar")] == ["baseline"]
    lines = ran.err.strip().splitlines()
    assert [line.split(":")[0] for line in lines] == ["moderate", "aggressive", "unhinged", "error"]
    assert "no server answers" in lines[0]
    assert "hidden" not in ran.out + ran.err


# --- upgrade and the way back -----------------------------------------------------------------------------------------


def earlier_rows(database: Database) -> dict[str, dict[Any, dict[str, Any]]]:
    """The rows of the earlier bot's tables by their key, in the columns that it knows."""
    keys = {
        "signals": "id",
        "paper_positions": "id",
        "micro_positions": "id",
        "symbol_protections": "symbol",
        "system_state": "key",
    }
    found = {}
    for table, key in keys.items():
        found[table] = {row[key]: row for (row,) in rows(database, f"SELECT to_jsonb(t) FROM {table} AS t")}
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_upgrade_of_the_earlier_bots_database_a_session_on_it_and_the_way_back(sigil, empty_project, tmp_path):
    database = locate_database("baseline", empty_project)
    create_if_missing(database.address)
    with database.transaction() as cur:
        for name in ("013_schema.sql", "013_sample.sql"):
            cur.execute((LEGACY / name).read_text())
        for table in ("paper_positions", "micro_positions"):  # before the bundled candles, which the session trades on
            cur.execute(
                f"UPDATE {table} SET opened_at = opened_at - interval '2 years', closed_at = closed_at - interval '2 years'"
            )
        cur.execute("UPDATE signals SET created_at = created_at - interval '2 years'")
    was, before = everything(database), earlier_rows(database)
    ran = sigil(
        "db", "backup", "--to", str(tmp_path), "--json", project=empty_project
    )  # as the page says: first of all
    assert ran.status == 0, ran.err
    file = json.loads(ran.out)[0]["file"]
    assert sigil("migrate", "up", project=empty_project).status == 0

    session = command(empty_project, "run", "paper", "--variant", "baseline", *PERIOD, "--speed", "6000", "--keep-open")
    wait_for(database, 60, session)
    assert session.poll() is None, session.communicate()
    for line in (("migrate", "down", "--to", "13"), ("migrate", "down", "--to", "21")):
        ran = sigil(*line, project=empty_project)
        assert (ran.status, ran.out) == (1, ""), ran
        assert "a paper session of variant 'baseline' runs" in ran.err
        assert len(ran.err.strip().splitlines()) == 1
    assert session.poll() is None
    session.send_signal(signal.SIGTERM)
    done(session)

    assert sigil("migrate", "down", "--to", "13", project=empty_project).status == 0
    after = earlier_rows(database)
    for table, known in before.items():
        for key, row in known.items():
            now = after[table][key]
            if table == "micro_positions" and now["status"] != row["status"]:
                # Adopted and closed by the session meanwhile: what it was stays, how it ended is added.
                assert (row["status"], now["status"]) == ("open", "closed")
                assert {c: now[c] for c in ("symbol", "qty", "entry_price", "opened_at")} == {
                    c: row[c] for c in ("symbol", "qty", "entry_price", "opened_at")
                }
            else:
                assert {c: v for c, v in now.items() if c != "high_water"} == {
                    c: v for c, v in row.items() if c != "high_water"
                }
    assert sigil("migrate", "up", project=empty_project).status == 0
    assert migrate.state(database, empty_project.migrations).pending == ()

    ran = sigil("db", "restore", file, "--variant", "baseline", "--replace", "--yes", project=empty_project)
    assert ran.status == 0, ran.err
    assert everything(database) == was, "the backup is the whole way back"
    database.close()


def test_nothing_is_migrated_under_a_running_session_and_everything_once_it_has_stopped(sigil, server, own):
    migrate.down(own, server.migrations, 21)
    link = Journal(own).lock()
    for line in (("migrate", "up"), ("protections", "list"), ("migrate", "down", "--to", "20")):
        ran = sigil(*line, project=server)
        assert (ran.status, ran.out) == (1, ""), (line, ran)
        assert "stop it first" in ran.err
        assert len(ran.err.strip().splitlines()) == 1
    assert migrate.state(own, server.migrations).version == 21
    link.close()
    assert sigil("migrate", "up", project=server).status == 0
    link = Journal(own).lock()  # the runner kept nothing
    assert sigil("migrate", "up", project=server).status == 0, "nothing to do is no reason to refuse"
    link.close()


def test_the_version_before_refuses_a_newer_database_until_it_is_taken_back(sigil, server, own, tmp_path):
    before = make_project(tmp_path / "before")
    (before.root / "migrations").unlink()
    shutil.copytree(
        server.migrations, before.migrations, ignore=lambda folder, names: [n for n in names if n.startswith("023_")]
    )
    ran = sigil("migrate", "status", project=before)
    assert ran.status == 2
    assert "is at 023, newer than this Sigil (022)" in ran.err
    assert "sigil migrate down" in ran.err, "the way out is said"
    assert sigil("migrate", "down", "--to", "22", project=server).status == 0
    ran = sigil("migrate", "status", "--json", project=before)
    assert (ran.status, json.loads(ran.out)[0]["version"]) == (0, 22)
