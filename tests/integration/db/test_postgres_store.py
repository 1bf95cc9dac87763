"""What only the store in PostgreSQL has: rows of the earlier bot, rivals, a server that goes away."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sigil_ext.db import embedded, migrate
from sigil_ext.db.connection import Database
from sigil_ext.db.locks import lock_key
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.errors import DatabaseUnavailable, UsageError
from sigil_ext.rules.types import Breaker, Entered, Entry, Exit, Refused
from sigil_ext.services.database import open_store
from sigil_ext.settings.models import BanSettings
from sigil_ext.settings.project import Project

NOON = datetime(2026, 5, 8, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
BAN = BanSettings.model_validate({"after": 2, "window": "7d", "base_hours": 24, "max_hours": 168})
LEGACY = Path(__file__).parents[2] / "migration" / "legacy"
ENTRY = Entry("TST-USDT", NOON, 0.04, 1000.0, 40.0, 0.0388, 3.0, 0.001, 1.2, True, 3, NOON + 6 * HOUR, 99)


def run(database: Database, query: str) -> list[tuple[Any, ...]]:
    with database.transaction() as cur:
        cur.execute(query)
        return cur.fetchall() if cur.description else []


@pytest.fixture
def taken_over(empty_database: Database, server: Project) -> PostgresStore:
    """A store on the earlier bot's database, migrated."""
    for name in ("013_schema.sql", "013_sample.sql"):
        run(empty_database, (LEGACY / name).read_text())
    migrate.up(empty_database, server.migrations)
    return PostgresStore(empty_database)


# --- what the earlier bot left ----------------------------------------------------------------------------------------


def test_the_earlier_bots_rows_are_read(taken_over):
    held = {(p.symbol, p.table): p for p in taken_over.open_positions()}
    assert set(held) == {
        ("HMSTR-USDT", "micro_positions"), ("NFP-USDT", "micro_positions"), ("ORCA-USDT", "micro_positions"),
        ("TST-USDT", "micro_positions"), ("KNC-USDT", "paper_positions"),
    }  # fmt: skip
    assert held["TST-USDT", "micro_positions"].opened_at == datetime(2026, 5, 2, 1, 15, tzinfo=UTC)
    assert held["TST-USDT", "micro_positions"].stop_price is None
    assert [p.violation_count for p in taken_over.protections()] == [1, 3, 0, 7]
    assert len(taken_over.signals()) == 1500
    assert "PSG-USDT" in taken_over.known_symbols()
    assert taken_over.breaker() == Breaker()


def test_an_open_row_in_either_table_refuses_an_entry(taken_over):
    for symbol in ("TST-USDT", "KNC-USDT"):
        outcome = taken_over.enter(replace(ENTRY, symbol=symbol))
        assert outcome == Refused(symbol, NOON, "position_open")


def test_stacking_passes_over_open_rows_but_not_over_the_index(taken_over):
    assert isinstance(taken_over.enter(replace(ENTRY, symbol="KNC-USDT"), stacking=True), Entered)
    outcome = taken_over.enter(ENTRY, stacking=True)
    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.detail) == ("position_open", "the unique index refused a second open row")
    assert taken_over.protection("TST-USDT").expires_at < NOON  # nothing of the refused entry was written


def test_a_row_of_the_earlier_bots_other_table_can_be_closed(taken_over):
    position = taken_over.open_position("KNC-USDT")
    exit = Exit(position.id, "KNC-USDT", NOON, 0.31, "adopted_close", 0.2, -3.3)
    taken_over.close(exit, BAN)
    assert taken_over.open_position("KNC-USDT") is None
    assert run(taken_over.database, "SELECT exit_reason, pnl_usd FROM paper_positions") == [("adopted_close", -3.3)]
    assert taken_over.close(exit, BAN) == taken_over.protection("KNC-USDT")


def test_positions_of_equal_number_in_both_tables_are_told_apart(taken_over):
    first = taken_over.open_position("TST-USDT")
    other = taken_over.open_position("KNC-USDT")
    assert first.id == other.id == 1
    taken_over.close(Exit(1, "KNC-USDT", NOON, 0.31, "manual", 0.2, -3.3), BAN)
    assert taken_over.open_position("TST-USDT") == first


def test_a_breaker_written_by_somebody_else_counts_by_its_truth(postgres_store):
    run(postgres_store.database, "INSERT INTO system_state (key, value) VALUES ('breaker', 'true'), ('pause', '0')")
    assert postgres_store.breaker() == Breaker(tripped=True)
    postgres_store.reset(at=NOON, actor="eva", reason="known")
    assert postgres_store.breaker() == Breaker()


def test_a_symbol_that_no_quote_ends_is_shown_as_the_row_has_it_and_not_written(postgres_store):
    run(postgres_store.database, "INSERT INTO symbol_protections (symbol) VALUES ('WEIRD')")
    assert postgres_store.known_symbols() == ["WEIRD"]
    assert [p.symbol for p in postgres_store.protections()] == ["WEIRD"]
    with pytest.raises(UsageError, match="known quote"):
        postgres_store.enter(replace(ENTRY, symbol="WEIRD"))


# --- what is written --------------------------------------------------------------------------------------------------


def test_a_row_holds_everything_that_was_known_at_entry_and_exit(postgres_store):
    number = postgres_store.enter(ENTRY).position_id
    postgres_store.move_stop(number, at=NOON + HOUR, stop_price=0.041, high_water=0.043)
    postgres_store.close(Exit(number, "TST-USDT", NOON + 2 * HOUR, 0.041, "atr_trail", 0.12, 0.88), BAN)
    with postgres_store.database.transaction() as cur:
        cur.execute(
            "SELECT symbol, variant_id, status, qty, entry_price, high_water, opened_at, atr_at_entry, stop_price,"
            " stop_pct, trail_armed, risk_usd, notional_usd, cap_bound, universe_id, exit_price, closed_at, exit_reason,"
            " fees_usd, pnl_usd, downtime FROM micro_positions"
        )
        assert cur.fetchall() == [
            ("TSTUSDT", "baseline", "closed", 1000.0, 0.04, 0.043, NOON, 0.001, 0.041, 3.0, True, 1.2, 40.0, True, 3,
             0.041, NOON + 2 * HOUR, "atr_trail", 0.12, 0.88, False)
        ]  # fmt: skip


def test_text_from_outside_stays_text(postgres_store):
    evil = "'); DROP TABLE symbol_protections; --"
    postgres_store.add_ban("TST-USDT", until=NOON + HOUR, at=NOON, actor=evil, reason=evil)
    assert postgres_store.protection("TST-USDT").reason == evil
    assert postgres_store.acts()[0].actor == evil


# --- rivals -----------------------------------------------------------------------------------------------------------


def test_an_entry_that_another_has_begun_is_refused_at_once(postgres_store):
    with closing(postgres_store.database.connect()) as rival, rival, rival.cursor() as cur:
        cur.execute("SELECT pg_advisory_xact_lock(%s)", (lock_key("baseline", "TSTUSDT"),))
        assert postgres_store.enter(ENTRY) == Refused("TST-USDT", NOON, "entry_in_progress")
    assert isinstance(postgres_store.enter(ENTRY), Entered)


def test_an_insert_of_the_earlier_bot_at_the_same_moment_is_a_refusal(postgres_store):
    outcome: list[Any] = []
    with closing(postgres_store.database.connect()) as bot:
        with bot.cursor() as cur:
            cur.execute("INSERT INTO micro_positions (symbol, qty, entry_price) VALUES ('TSTUSDT', 1, 1)")
        racer = threading.Thread(target=lambda: outcome.append(postgres_store.enter(ENTRY)))
        racer.start()
        waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        while not run(postgres_store.database, waiting):
            assert racer.is_alive()
        bot.commit()
        racer.join()
    assert [o.reason for o in outcome] == ["position_open"]
    assert postgres_store.protection("TST-USDT") is None


def test_two_symbols_cannot_both_take_the_last_free_place(postgres_store):
    outcomes: list[Any] = []
    gate = threading.Barrier(8)

    def enter(symbol: str) -> None:
        store = PostgresStore(Database("baseline", postgres_store.database.address))
        gate.wait()
        outcomes.append(store.enter(replace(ENTRY, symbol=symbol, max_open_positions=3)))
        store.database.close()

    threads = [threading.Thread(target=enter, args=(f"{letter}-USDT",)) for letter in "ABCDEFGH"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(o, Entered) for o in outcomes) == len(postgres_store.open_positions()) == 3
    assert {o.reason for o in outcomes if isinstance(o, Refused)} == {"max_open_positions"}


# --- a server that goes away ------------------------------------------------------------------------------------------


def test_lost_connections_are_replaced_and_a_lost_server_is_said(empty_project: Project):
    store = open_store("baseline", empty_project)
    assert isinstance(store.enter(ENTRY), Entered)
    embedded.stop(empty_project)
    with pytest.raises(
        DatabaseUnavailable, match=r"no server answers for the database 'sigil' on 127\.0\.0\.1|lost the"
    ):
        store.enter(replace(ENTRY, symbol="DOGS-USDT"))
    with pytest.raises(DatabaseUnavailable, match="no server answers"):
        store.breaker()
    embedded.ensure_running(empty_project)
    assert [p.symbol for p in store.open_positions()] == ["TST-USDT"]


def test_a_backend_that_was_killed_is_no_crash(postgres_store):
    with pytest.raises(DatabaseUnavailable, match="lost the database"), postgres_store.database.transaction() as cur:
        cur.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    assert postgres_store.breaker() == Breaker()


def test_a_database_that_may_not_be_written_or_is_not_migrated_is_one_sentence(postgres_store, empty_database):
    name = postgres_store.database.address.name
    run(postgres_store.database, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    postgres_store.database.close()
    with pytest.raises(DatabaseUnavailable, match=r"cannot be used: .*read-only transaction"):
        postgres_store.enter(ENTRY)
    with pytest.raises(DatabaseUnavailable, match=r"run: sigil migrate up"):
        PostgresStore(empty_database).breaker()


def test_a_forked_child_opens_connections_of_its_own(postgres_store):
    postgres_store.breaker()
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if postgres_store.breaker() == Breaker() else 1)
        except BaseException:  # noqa: BLE001 - the child must not run on into pytest
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert postgres_store.breaker() == Breaker()


def test_times_come_back_in_utc_whatever_the_server_thinks(postgres_store):
    run(
        postgres_store.database,
        f"ALTER DATABASE \"{postgres_store.database.address.name}\" SET timezone = 'Asia/Tokyo'",
    )
    postgres_store.database.close()
    postgres_store.enter(ENTRY)
    assert postgres_store.open_position("TST-USDT").opened_at.tzinfo is UTC


@pytest.fixture
def many(postgres_store: PostgresStore) -> Iterator[Callable[[int], list[PostgresStore]]]:
    """Several stores on one database."""
    made: list[PostgresStore] = []

    def make(count: int) -> list[PostgresStore]:
        made.extend(PostgresStore(Database("baseline", postgres_store.database.address)) for _ in range(count))
        return made

    yield make
    for store in made:
        store.database.close()


def test_hard_stops_counted_at_the_same_time_are_all_counted(postgres_store, many):
    """Two sessions of a database are not meant to be; if they are, no violation is lost all the same."""
    numbers = []
    for _ in range(6):
        numbers.append(postgres_store.enter(replace(ENTRY, symbol="TST-USDT", cooldown_until=None)).position_id)
        run(postgres_store.database, "UPDATE micro_positions SET status = 'parked' WHERE status = 'open'")
    run(postgres_store.database, "DROP INDEX idx_micro_positions_open_symbol_variant")
    run(postgres_store.database, "UPDATE micro_positions SET status = 'open'")
    stores = many(len(numbers))
    gate = threading.Barrier(len(numbers))

    def leave(store: PostgresStore, number: int) -> None:
        gate.wait()
        store.close(Exit(number, "TST-USDT", NOON + HOUR, 0.03, "hard_stop", 0.1, -1.0), BAN)

    threads = [threading.Thread(target=leave, args=pair) for pair in zip(stores, numbers, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert postgres_store.protection("TST-USDT").violation_count == len(numbers)
