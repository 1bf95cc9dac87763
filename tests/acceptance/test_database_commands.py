"""`sigil db`, `sigil migrate` and `sigil protections` as a person uses them, and uses them wrongly."""

from __future__ import annotations

import getpass
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sigil_ext.db import embedded, migrate
from sigil_ext.db.connection import EMBEDDED, Database
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.services.database import open_database
from sigil_ext.settings.environment import DatabaseAddress
from sigil_ext.settings.project import Project

LEGACY = Path(__file__).parents[1] / "migration" / "legacy"
NEWEST = 23


@pytest.fixture
def said(sigil: Callable[..., Any], server: Project) -> Callable[..., Any]:
    """Run a command on the session's server, which must succeed, and return its JSON."""

    def run(*arguments: str) -> Any:
        ran = sigil(*arguments, "--json", project=server)
        assert (ran.status, ran.err) == (0, ""), ran
        return json.loads(ran.out)

    return run


@pytest.fixture
def own_server(server: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> DatabaseAddress:
    """The session's server, configured as if it were the user's own: by SIGIL_DATABASE_URL_BASELINE and a fresh name."""
    address = embedded.ensure_running(server)
    name = f"own_{os.getpid()}_{tmp_path.name}"[:60]
    user, password = address.user, address.password.get_secret_value()
    monkeypatch.setenv("SIGIL_DATABASE_URL_BASELINE", f"postgresql://{user}:{password}@127.0.0.1:{address.port}/{name}")
    return DatabaseAddress(address.host, address.port, user, address.password, name, EMBEDDED)


# --- db ---------------------------------------------------------------------------------------------------------------


def test_db_start_status_and_stop_may_be_said_twice(sigil, empty_project):
    assert sigil("db", "status", project=empty_project).status == 1
    first = sigil("db", "start", project=empty_project)
    assert first.status == 0
    assert first.out.startswith("started: 127.0.0.1:")
    assert sigil("db", "start", project=empty_project).out.startswith("already running: 127.0.0.1:")
    status = json.loads(sigil("db", "status", "--json", project=empty_project).out)
    assert (status["running"], status["version"], status["in_use"]) == (True, "17.10.0", True)
    assert "running" in sigil("db", "status", project=empty_project).out
    assert sigil("db", "stop", project=empty_project).out == "stopped\n"
    assert sigil("db", "stop", project=empty_project).out == "was not running\n"
    assert sigil("db", "status", project=empty_project).status == 1


def test_a_readable_env_file_is_warned_about_on_stderr(sigil, empty_project):
    empty_project.env_file.write_text("PASSWORD=x\n")
    empty_project.env_file.chmod(0o644)
    ran = sigil("db", "status", "--json", project=empty_project)
    assert "chmod 600" in ran.err
    json.loads(ran.out)


def test_a_command_of_its_own_starts_the_server_and_ends(empty_project):
    def run(verb: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sigil_ext.entrypoints.cli.main", "db", verb],
            capture_output=True, text=True, timeout=120, cwd="/",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "SIGIL_HOME": str(empty_project.root)},
        )  # fmt: skip

    assert run("start").returncode == 0
    assert run("status").returncode == 0
    assert run("stop").stdout == "stopped\n"


def test_four_first_commands_at_once_make_start_and_migrate_one_database(empty_project):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "SIGIL_HOME": str(empty_project.root)}
    command = [sys.executable, "-m", "sigil_ext.entrypoints.cli.main", "protections", "list", "--json"]
    commands = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        for _ in range(4)
    ]
    assert [c.communicate(timeout=120) for c in commands] == [("[]\n", "")] * 4


# --- migrate ----------------------------------------------------------------------------------------------------------


def test_migrate_up_down_and_status_of_all_variants(said, sigil, server):
    first = said("migrate", "up", "--all")
    assert [(r["variant"], r["version"]) for r in first] == [
        ("baseline", NEWEST), ("moderate", NEWEST), ("aggressive", NEWEST), ("unhinged", NEWEST),
    ]  # fmt: skip
    assert [r["steps"] for r in said("migrate", "up", "--all")] == [[], [], [], []]
    down = said("migrate", "down", "--to", "13", "--variant", "moderate")
    assert [s["version"] for s in down[0]["steps"]] == list(range(NEWEST, 13, -1))
    behind = sigil("migrate", "status", "--variant", "moderate", project=server)
    assert behind.status == 1
    assert "014_one_open_position" in behind.out
    assert f"now at {NEWEST:03d}" in sigil("migrate", "up", "--variant", "moderate", project=server).out
    assert f"already at {NEWEST:03d}" in sigil("migrate", "up", "--variant", "moderate", project=server).out
    standing = said("migrate", "status", "--all")
    assert [s["version"] for s in standing] == [NEWEST] * 4
    assert all(m["applied_at"] for s in standing for m in s["migrations"])


def test_an_earlier_bots_database_is_taken_over_only_when_told_to(sigil, server, own_server, said):
    assert said("migrate", "up", "--to", "13")[0]["version"] == 13
    database = Database("baseline", own_server)
    said("migrate", "down", "--to", "0")
    for name in ("013_schema.sql", "013_sample.sql"):
        with database.transaction() as cur:
            cur.execute((LEGACY / name).read_text())
    refused = sigil("protections", "list", project=server)
    assert refused.status == 2
    assert "the earlier bot's, at 013; back it up and run: sigil migrate up --variant baseline" in refused.err
    assert migrate.state(database, server.migrations).version == 13
    assert [s["version"] for s in said("migrate", "up")[0]["steps"]] == list(range(14, NEWEST + 1))
    assert [p["symbol"] for p in said("protections", "list")] == ["KNC-USDT", "NFP-USDT", "ORCA-USDT", "TST-USDT"]
    assert [s["version"] for s in said("migrate", "down", "--to", "13")[0]["steps"]] == list(range(NEWEST, 13, -1))
    database.close()


def test_status_creates_nothing(sigil, server, own_server):
    ran = sigil("migrate", "status", project=server)
    assert ran.status == 1
    assert "no database yet" in ran.out
    assert sigil("migrate", "status", project=server).out == ran.out


# --- protections ------------------------------------------------------------------------------------------------------


def test_a_symbol_is_barred_shown_and_lifted_and_every_act_is_kept(said, sigil, server, own_server):
    me = f"{getpass.getuser()}@{socket.gethostname()}"
    barred = said("protections", "add", "tstusdt", "--hours", "6", "--reason", "news", "--new")
    assert (barred["symbol"], barred["barred_by"], barred["reason"]) == ("TST-USDT", "cooldown", "news")
    longer = said("protections", "ban", "TST-USDT", "--hours", "48")
    assert longer["barred_by"] == "ban"
    assert said("protections", "ban", "TST-USDT", "--hours", "1")["ban_until"] == longer["ban_until"]
    assert [p["symbol"] for p in said("protections", "list")] == ["TST-USDT"]
    assert said("protections", "show", "TST/USDT")["barred_by"] == "ban"
    lifted = said("protections", "lift", "TSTUSDT", "--reason", "it was one exchange's wick")
    assert lifted["barred_by"] is None
    assert [(e["kind"], e["actor"], e["reason"]) for e in said("protections", "history", "TST-USDT")] == [
        ("manual_cooldown", me, "news"),
        ("manual_ban", me, "manual"),
        ("manual_ban", me, "manual"),
        ("lift", me, "it was one exchange's wick"),
    ]
    for command in (["list"], ["show", "TST-USDT"], ["history", "TST-USDT"]):
        ran = sigil("protections", *command, project=server)
        assert ran.status == 0
        assert "TST-USDT" in ran.out


def test_an_empty_list_is_said_in_words(sigil, server, own_server):
    assert sigil("protections", "list", project=server).out == "no symbol of variant baseline was ever barred\n"


# --- wrong use --------------------------------------------------------------------------------------------------------

WRONG = [
    (["protections", "lift", "TST-USDT", "--reason", "  "], "a lift needs a reason"),
    (["protections", "show", "TTS-USDT"], "unknown symbol 'TTS-USDT'; did you mean 'TST-USDT'"),
    (["protections", "history", "nonsense"], "unknown symbol 'nonsense'; known: DOGS-USDT, TST-USDT"),
    (["protections", "add", "DOG-USDT", "--hours", "1"], "did you mean 'DOGS-USDT'"),
    (["protections", "add", "nonsense", "--hours", "1", "--new"], "ends with no known quote currency"),
    (["protections", "lift", "DOGS-USDT", "--reason", "x"], "nothing bars DOGS-USDT"),
    (["protections", "add", "TST-USDT", "--hours", "0"], "--hours 0 is not a number of hours from 0.0167"),
    (
        ["protections", "ban", "TST-USDT", "--hours", "1e-7"],
        "--hours 1e-07 is not a number of hours from 0.0167 (a minute)",
    ),
    (["protections", "ban", "TST-USDT", "--hours", "-3"], "--hours -3 is not"),
    (["protections", "ban", "TST-USDT", "--hours", "nan"], "--hours nan is not"),
    (["protections", "ban", "TST-USDT", "--hours", "inf"], "--hours inf is not"),
    (["protections", "ban", "TST-USDT", "--hours", "1e300"], "--hours 1e+300 is not"),
    (["protections", "list", "--variant", "basline"], "unknown variant 'basline'; did you mean 'baseline'"),
    (["protections", "list", "--variant", "legacy"], "variant 'legacy' is for research only"),
    (["migrate", "up", "--to", "99"], "there is no migration 99; known: 0, 13, 14"),
    (["migrate", "down", "--to", "-1"], "there is no migration -1"),
    (["migrate", "up", "--all", "--variant", "baseline"], "--all and --variant exclude each other"),
    (["migrate", "status", "--variant", "nobody"], "unknown variant 'nobody'; known:"),
]


@pytest.fixture(scope="module")
def with_two_symbols(server: Project) -> Project:
    store = PostgresStore(open_database("baseline", server))
    at = datetime(2026, 5, 4, tzinfo=UTC)
    for symbol in ("TST-USDT", "DOGS-USDT"):
        store.count_refusal(symbol, "data_stale", at=at, signal=False)
    store.database.close()
    return server


@pytest.mark.parametrize(("arguments", "sentence"), WRONG, ids=[" ".join(a) for a, _ in WRONG])
def test_wrong_use_is_one_sentence_and_status_2(sigil, with_two_symbols, arguments, sentence):
    ran = sigil(*arguments, project=with_two_symbols)
    assert ran.status == 2
    assert ran.out == ""
    assert ran.err.count("\n") == 1
    assert sentence in ran.err


@pytest.mark.parametrize(
    "arguments", [["protections", "lift", "TST-USDT"], ["migrate", "down"], ["protections", "add", "X"]]
)
def test_what_is_left_out_is_asked_for(sigil, server, arguments):
    ran = sigil(*arguments, project=server)
    assert ran.status == 2
    assert "Missing" in ran.err


URLS = {
    "nobody listens": ("postgresql://eva:geheim@127.0.0.1:1/sigil", "no server answers for the database"),
    "wrong password": ("postgresql://sigil:geheim@127.0.0.1:{port}/sigil", "wrong password or user 'sigil'"),
    "wrong user": ("postgresql://eva:geheim@127.0.0.1:{port}/sigil", "wrong password or user 'eva'"),
    "unknown host": ("postgresql://eva:geheim@nowhere.invalid/sigil", "host 'nowhere.invalid' is not known"),
    "no address": ("geheim", "SIGIL_DATABASE_URL_BASELINE is not the address"),
}


@pytest.mark.parametrize("case", URLS)
def test_a_server_that_cannot_be_entered_is_one_sentence_without_the_password(sigil, server, monkeypatch, case):
    url, sentence = URLS[case]
    monkeypatch.setenv("SIGIL_DATABASE_URL_BASELINE", url.format(port=embedded.ensure_running(server).port))
    for command in (["protections", "list"], ["migrate", "up"], ["migrate", "status"]):
        ran = sigil(*command, project=server)
        assert (ran.status, ran.out) == (2 if case == "no address" else 1, "")
        assert sentence in ran.err
        assert ran.err.count("\n") == 1
        assert "geheim" not in ran.err


def test_a_user_who_may_not_create_the_database_is_told_what_to_run(sigil, server, own_server, monkeypatch):
    administrator = Database("baseline", DatabaseAddress(**{**_fields(own_server), "name": "postgres"}))
    with administrator.transaction() as cur:
        cur.execute("DROP ROLE IF EXISTS weak; CREATE ROLE weak LOGIN PASSWORD 'geheim'")
    monkeypatch.setenv("SIGIL_DATABASE_URL_BASELINE", f"postgresql://weak:geheim@127.0.0.1:{own_server.port}/new")
    ran = sigil("migrate", "up", project=server)
    assert ran.status == 1
    assert 'CREATE DATABASE "new" OWNER "weak"' in ran.err
    administrator.close()


def test_no_room_for_the_database_is_one_sentence(sigil, empty_project):
    empty_project.storage.write_text("a file where the folder should be")
    for command in (["db", "start"], ["protections", "list"], ["migrate", "up"]):
        ran = sigil(*command, project=empty_project)
        assert ran.status == 1
        assert ran.err.startswith("error: cannot keep a database in ")
        assert ran.err.count("\n") == 1
    empty_project.storage.unlink()


def _fields(address: DatabaseAddress) -> dict[str, Any]:
    return {name: getattr(address, name) for name in ("host", "port", "user", "password", "name", "source")}


def test_a_bar_without_a_reason_is_manual_and_not_that_of_what_barred_before(sigil, server):
    act = ("--new", "--hours", "5", "--json")
    sigil("protections", "ban", "WHY-USDT", "--reason", "odd prints", *act, project=server)
    for verb in ("add", "ban"):
        ran = sigil("protections", verb, "WHY-USDT", *act, project=server)
        assert json.loads(ran.out)["reason"] == "manual"
    history = json.loads(sigil("protections", "history", "WHY-USDT", "--json", project=server).out)
    assert [event["reason"] for event in history] == ["odd prints", "manual", "manual"]


@pytest.mark.parametrize(
    "command",
    [["pause", "--variant", "baseline"], ["breaker", "trip", "--variant", "baseline"],
     ["protections", "add", "TST-USDT", "--new", "--hours", "1"], ["protections", "ban", "TST-USDT", "--new", "--hours", "1"]],
    ids=" ".join,
)  # fmt: skip
def test_a_reason_that_is_no_text_is_refused(sigil, server, command):
    ran = sigil(*command, "--reason", "nul\udcff", project=server)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == "error: the reason 'nul\\udcff' is not UTF-8 text; write it anew\n"


def test_what_a_reason_holds_does_not_steer_the_terminal(sigil, server):
    reason = "\x1b[31mred [/not markup] :smile: grün"
    shown = "\\x1b[31mred [/not markup] :smile: grün"
    ran = sigil("protections", "add", "ESC-USDT", "--new", "--hours", "1", "--reason", reason, project=server)
    assert (ran.status, shown in ran.out, "\x1b" in ran.out) == (0, True, False), ran
    assert sigil("pause", "--variant", "unhinged", "--reason", reason, project=server).status == 0
    for line in (("breaker", "status", "--all"), ("status",), ("protections", "history", "ESC-USDT")):
        told = sigil(*line, project=server)
        assert "\x1b" not in told.out + told.err, told
        assert "\\x1b[31mred" in told.out
    found = json.loads(sigil("breaker", "status", "--variant", "unhinged", "--json", project=server).out)
    assert found["unhinged"]["pause_reason"] == reason
    sigil("resume", "--variant", "unhinged", "--reason", "tested", project=server)
