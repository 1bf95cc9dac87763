"""`sigil doctor`: every line fine or with what to do, and each thing that can be wrong found by its own line."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from sigil_ext.bridge import contract, replay
from sigil_ext.db import migrate
from sigil_ext.db.journal import Journal
from sigil_ext.services import doctor_machine
from sigil_ext.settings.environment import variant_key
from tests.exchange_server.market import Market, MarketClock
from tests.exchange_server.server import ExchangeServer
from tests.integration.feeds.redis_server import RedisServer

ROOT = Path(__file__).resolve().parents[2]
LEGACY = ROOT / "tests" / "migration" / "legacy"


@pytest.fixture
def lines(sigil, empty_project):
    """Run the doctor; return its lines by check. Status 1 exactly when a line is a problem."""

    def run(*arguments: str) -> dict[str, dict[str, str]]:
        ran = sigil("doctor", *(arguments or ("--offline",)), "--json", project=empty_project)
        document = json.loads(ran.out)
        found = {line["check"]: line for line in document["lines"]}
        problems = [line for line in found.values() if line["level"] == "problem"]
        assert (ran.status, document["problems"]) == (int(bool(problems)), len(problems)), problems
        assert all(line["to_do"] for line in problems), problems
        return found

    return run


@pytest.fixture
def own_overlays(empty_project):
    """Overlays of the project's own, to be spoilt."""
    folder = empty_project.root / "overlays"
    folder.unlink()
    shutil.copytree(ROOT / "overlays", folder)
    return folder


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def exchange(skew_ms: int = 0) -> Iterator[str]:
    """A server that speaks Binance's protocol, in a thread of its own; yields its address."""

    async def start() -> ExchangeServer:
        server = ExchangeServer(Market({}, MarketClock(int(time.time() * 1000))))
        server.skew_ms = skew_ms
        await server.start()
        return server

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield server.rest_url
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def test_a_fresh_project_needs_nothing_and_nothing_is_started(lines, sigil, empty_project):
    found = lines()
    assert {line["level"] for line in found.values()} <= {"ok", "note"}
    assert set(found) >= {
        "python", "platform", "jesse", "embedded server", "database of baseline", "redis", "feed of binance",
        "disk of storage", "memory", "clock", "settings of unhinged", ".env", "alerts",
    }  # fmt: skip
    assert "not made yet" in found["embedded server"]["found"]
    assert not (empty_project.storage / "postgres").exists()
    ran = sigil("doctor", "--offline", project=empty_project)
    assert (ran.status, ran.err) == (0, "")
    assert "nothing needs doing" in ran.out


def test_a_database_in_use_is_told_with_its_server_and_schema(lines, database, monkeypatch):
    monkeypatch.setenv(variant_key("baseline"), database.address.url().get_secret_value())
    found = lines()["database of baseline"]
    assert found["level"] == "ok"
    assert "PostgreSQL 17." in found["found"]
    assert f"schema {migrate.load_migrations(ROOT / 'migrations')[-1].version:03d}" in found["found"]


def test_an_old_schema_is_left_to_the_next_command_where_sigil_made_it(lines, empty_database, server, monkeypatch):
    migrate.up(empty_database, server.migrations, to=18)
    monkeypatch.setenv(variant_key("baseline"), empty_database.address.url().get_secret_value())
    found = lines()["database of baseline"]
    assert (found["level"], "schema 018" in found["found"]) == ("note", True)


def test_a_database_of_the_earlier_bot_has_to_be_migrated_by_a_person(lines, empty_database, monkeypatch):
    with empty_database.transaction() as cur:
        cur.execute((LEGACY / "013_schema.sql").read_text())
    monkeypatch.setenv(variant_key("baseline"), empty_database.address.url().get_secret_value())
    found = lines()["database of baseline"]
    assert found["level"] == "problem"
    assert "sigil migrate up --variant baseline" in found["to_do"]


def test_a_database_that_is_down_or_missing_is_told_without_its_password(lines, database, monkeypatch):
    address = database.address.url().get_secret_value()
    monkeypatch.setenv(variant_key("moderate"), f"postgresql://u:secret-word@127.0.0.1:{unused_port()}/x")
    monkeypatch.setenv(variant_key("unhinged"), address.replace(database.address.name, "test_not_there"))
    monkeypatch.setenv(variant_key("baseline"), address.replace(database.address.user + ":", "sigil:wrong"))
    found = lines()
    assert found["database of moderate"]["level"] == "problem"
    assert "no server answers" in found["database of moderate"]["found"]
    assert "there is no" in found["database of unhinged"]["found"]
    assert found["database of baseline"]["level"] == "problem"
    assert "secret-word" not in json.dumps(found)
    assert database.address.password.get_secret_value() not in json.dumps(found)


def test_another_variants_database_is_found_out(lines, database, monkeypatch):
    monkeypatch.setenv(variant_key("moderate"), database.address.url().get_secret_value())
    assert "belongs to variant 'baseline'" in lines()["database of moderate"]["found"]


def test_a_redis_that_answers_is_fine_and_one_that_does_not_is_told(lines, monkeypatch, tmp_path):
    server = RedisServer(tmp_path)
    server.start()
    try:
        monkeypatch.setenv("SIGIL_REDIS_URL", server.url)
        assert lines()["redis"]["level"] == "ok"
    finally:
        server.kill()
    monkeypatch.setenv("SIGIL_REDIS_URL", server.url.replace("127", "u:secret-word@127"))
    found = lines()["redis"]
    assert (found["level"], "SIGIL_REDIS_URL" in found["to_do"]) == ("problem", True)
    assert "secret-word" not in json.dumps(found)
    monkeypatch.setenv("SIGIL_REDIS_URL", "http://u:secret-word@127.0.0.1")
    found = lines()
    assert "secret-word" not in json.dumps(found)
    assert any(line["level"] == "problem" for line in found.values())


def test_the_exchange_is_asked_and_its_clock_compared(lines):
    with exchange() as address:
        found = lines("--exchange-url", address)["feed of binance"]
        assert (found["level"], "answers in" in found["found"]) == ("ok", True)
    with exchange(skew_ms=60_000) as address:
        found = lines("--exchange-url", address)["feed of binance"]
        assert (found["level"], "NTP" in found["to_do"]) == ("problem", True)
    assert "binanse" in json.dumps(lines("--exchange", "binanse"))


def test_no_network_is_a_problem_only_where_a_session_follows_a_live_feed(lines, database, monkeypatch):
    nowhere = f"http://127.0.0.1:{unused_port()}"
    found = lines("--exchange-url", nowhere)["feed of binance"]
    assert (found["level"], found["to_do"]) == ("note", "only live feeds need it")
    monkeypatch.setenv(variant_key("baseline"), database.address.url().get_secret_value())
    Journal(database).begin({}, ["TST-USDT"], 0, {"TST-USDT": np.zeros((0, 6))}, feed="exchange")
    found = lines("--exchange-url", nowhere)["feed of binance"]
    assert (found["level"], "baseline" in found["to_do"]) == ("problem", True)


def test_settings_that_are_refused_are_told_by_variant(lines, own_overlays):
    (own_overlays / "moderate.yaml").write_text("hard_stop:\n  multiplyer: 2\n")
    found = lines()
    assert found["settings of moderate"]["level"] == "problem"
    assert "multiplyer" in found["settings of moderate"]["found"]
    assert found["settings of baseline"]["level"] != "problem"


def test_an_env_file_that_others_read_or_that_is_wrong_is_told_and_the_rest_goes_on(lines, empty_project):
    path = empty_project.env_file
    path.write_text("PASSWORD=secret-word\n")
    path.chmod(0o644)
    assert "chmod 600" in lines()[".env"]["to_do"]
    path.chmod(0o600)
    assert lines()[".env"]["level"] == "ok"
    path.write_text("SIGIL_MODE=live\n")
    found = lines()
    assert "paper only" in found[".env"]["found"]
    assert "database of baseline" not in found
    assert found["jesse"]["level"] == "ok"
    path.write_text("SIGIL_DATABSE_URL=x\n")
    assert "SIGIL_DATABASE_URL" in lines()[".env"]["found"]


def test_alert_channels_are_counted_and_never_shown(lines, monkeypatch):
    monkeypatch.setenv("SIGIL_ALERT_URLS", "json://secret-word@localhost json://other@localhost")
    found = lines()["alerts"]
    assert (found["level"], found["found"]) == ("ok", "channels: baseline 2, moderate 2, aggressive 2, unhinged 2")
    monkeypatch.setenv("SIGIL_ALERT_URLS_UNHINGED", "none")
    found = lines()["alerts"]
    assert (found["level"], found["found"].endswith("unhinged")) == ("note", True)
    assert "secret-word" not in json.dumps(found)


def test_the_jesse_that_is_installed_is_the_one_the_bridge_was_written_against():
    found = contract.jesse_contract()
    assert (found.version, found.changed, found.kept) == (contract.WRITTEN_AGAINST, (), True)
    assert f"jesse=={contract.WRITTEN_AGAINST}" in (ROOT / "pyproject.toml").read_text()


def test_a_changed_or_lost_private_function_of_jesse_is_named(lines, monkeypatch):
    monkeypatch.setitem(replay.PRIVATE_FUNCTIONS, "jesse.modes.backtest_mode:_step_simulator", "0" * 16)
    monkeypatch.setitem(replay.PRIVATE_FUNCTIONS, "jesse.modes.backtest_mode:_gone", "0" * 16)
    monkeypatch.setitem(replay.PRIVATE_FUNCTIONS, "jesse.nowhere:_gone", "0" * 16)
    found = lines()["jesse"]
    assert found["level"] == "problem"
    assert "_step_simulator, jesse.modes.backtest_mode:_gone, jesse.nowhere:_gone" in found["found"]


def test_limits_of_disk_and_memory_count(lines, monkeypatch):
    monkeypatch.setattr(doctor_machine, "LEAST_DISK_BYTES", 10**18)
    monkeypatch.setattr(doctor_machine, "LEAST_MEMORY_BYTES", 10**18)
    found = lines()
    assert found["disk of storage"]["level"] == found["memory"]["level"] == "problem"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_storage_that_cannot_be_written_is_told(lines, empty_project):
    empty_project.storage.mkdir()
    empty_project.storage.chmod(0o500)
    try:
        assert lines()["storage"]["level"] == "problem"
    finally:
        empty_project.storage.chmod(0o700)
