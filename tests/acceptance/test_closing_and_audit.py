"""Positions closed by a person, positions taken over from the earlier bot, and the audit that tells what follows."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from sigil_ext.db.connection import Database, create_if_missing
from sigil_ext.db.journal import Journal
from sigil_ext.db.migrate import up
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.services.database import locate_database, open_database
from tests.acceptance.test_paper_replay import command, done, minutes_processed, wait_for

ROOT = Path(__file__).resolve().parents[2]
LEGACY = ROOT.parent / "shared" / "legacy"
LINE = ("run", "paper", "--candles", str(ROOT / "sample"), "--finish", "2025-06-19")


def wait_for_open_position(database: Database, process) -> None:
    for minutes in range(200, 3000, 100):
        wait_for(database, minutes, process)
        if PostgresStore(database).open_positions():
            return
    pytest.fail("no position was opened")


@pytest.mark.slow
def test_flatten_closes_what_a_running_session_holds_and_the_audit_names_the_cause(sigil, empty_project):
    database = open_database("unhinged", empty_project)
    session = command(empty_project, *LINE, "--variant", "unhinged", "--speed", "6000")
    wait_for_open_position(database, session)
    ran = sigil("flatten", "--variant", "unhinged", "--reason", "a test", "--json", project=empty_project)
    assert ran.status == 0, ran.err
    said = json.loads(ran.out)[0]
    assert said["outcome"].startswith("closed ")
    with database.transaction() as cursor:
        cursor.execute("SELECT symbol, exit_reason, pnl_usd FROM micro_positions WHERE exit_reason = 'kill_switch'")
        closed = cursor.fetchall()
        cursor.execute("SELECT act, actor, reason, done_at IS NOT NULL FROM session_requests")
        requests = cursor.fetchall()
    assert closed
    assert all(pnl is not None for _, _, pnl in closed)
    assert requests[0][0] == "flatten"
    assert requests[0][2:] == ("a test", True)
    session.send_signal(signal.SIGKILL)  # the rebuild has to know of the closing as well
    session.communicate()
    done(command(empty_project, *LINE, "--variant", "unhinged"))
    ran = sigil("audit", "--variant", "unhinged", "--json", project=empty_project)
    report = json.loads(ran.out)
    assert (ran.status, report["unexplained"]) == (0, 0), report
    assert report["matched"] > 5
    causes = {d["cause"] for d in report["differences"]}
    assert "closed by a person (kill_switch)" in causes
    database.close()


@pytest.mark.slow
def test_acts_while_a_session_is_stopped_are_in_force_for_the_audit_in_the_order_of_the_acts(sigil, empty_project):
    database = open_database("unhinged", empty_project)
    until = ("run", "paper", "--variant", "unhinged", "--candles", str(ROOT / "sample"), "--keep-open", "--finish")
    done(command(empty_project, *until, "2025-06-18T00:00"))
    acts_before = len(PostgresStore(database).acts())
    for act in (("pause",), ("resume",), ("breaker", "trip"), ("breaker", "reset")):
        ran = sigil(*act, "--variant", "unhinged", "--reason", "maintenance", project=empty_project)
        assert ran.status == 0, ran.err
    assert len(PostgresStore(database).acts()) == acts_before + 4
    done(command(empty_project, *until, "2025-06-18T12:00"))
    ran = sigil("audit", "--variant", "unhinged", "--json", project=empty_project)
    report = json.loads(ran.out)
    assert (ran.status, report["differences"]) == (0, []), report
    assert report["matched"] > 5
    database.close()


@pytest.mark.slow
def test_a_session_that_does_not_run_is_flattened_all_the_same(sigil, empty_project):
    database = open_database("unhinged", empty_project)
    session = command(empty_project, *LINE, "--variant", "unhinged", "--speed", "6000")
    wait_for_open_position(database, session)
    session.send_signal(signal.SIGKILL)
    session.communicate()
    held = PostgresStore(database).open_positions()
    before = minutes_processed(database)
    with database.transaction() as cursor:  # as a live one, of which people are told
        cursor.execute("UPDATE paper_sessions SET feed = 'exchange'")
    ran = sigil("positions", "close", held[0].symbol, "--variant", "unhinged", "--reason", "x", project=empty_project)
    assert ran.status == 0, ran.err
    assert f"closed {held[0].symbol}" in ran.out
    assert held[0].symbol not in {p.symbol for p in PostgresStore(database).open_positions()}
    ran = sigil("flatten", "--variant", "unhinged", "--reason", "x", project=empty_project)
    assert ran.status == 0, ran.err
    assert PostgresStore(database).open_positions() == []
    assert minutes_processed(database) == before
    last = Journal(database).last_minute(Journal(database).running())
    with database.transaction() as cursor:
        cursor.execute("SELECT event, reason FROM alerts ORDER BY id")
        told = cursor.fetchall()
        cursor.execute(
            "SELECT (extract(epoch FROM at) * 1000)::bigint, equity_usd, cash_usd, open_positions FROM equity_snapshots"
            " ORDER BY at DESC LIMIT 1"
        )
        at_ms, equity, cash, count = cursor.fetchone()
    assert told == [("exit", "manual")] + [("exit", "kill_switch")] * (len(held) - 1)
    assert (at_ms, count) == (last + 60_000, 0)
    assert equity == cash == pytest.approx(1000 + Journal(database).realized(), abs=1e-6)
    ran = sigil("flatten", "--variant", "unhinged", "--reason", "x", project=empty_project)
    assert (ran.status, ran.out.strip()) == (0, "unhinged: nothing was open; 0 still open")
    database.close()


def test_closing_asks_for_a_reason_and_a_symbol_that_is_held(sigil, server):
    for line, says in (
        (("positions", "close", "--reason", "x"), "say which"),
        (("positions", "close", "TST-USDT", "--reason", " "), "reason"),
        (("positions", "close", "TST-USDT", "--stale", "--reason", "x"), "say which"),
        (("positions", "close", "TST-USDT", "--reason", "x"), "holds no position"),
        (("flatten", "--reason", "x"), "say which variant"),
        (("flatten", "--variant", "baseline"), "--reason"),
        (("audit", "--variant", "moderate"), "no paper session to audit"),
        (("audit", "--variant", "moderate", "--session", "7"), "no paper session 7"),
    ):
        ran = sigil(*line, project=server)
        assert ran.status == 2, (line, ran)
        assert says in ran.err


def database_of_the_earlier_bot(project) -> Database:
    database = locate_database("baseline", project)
    create_if_missing(database.address)
    with database.transaction() as cursor:
        for name in ("013_schema.sql", "013_sample.sql"):
            cursor.execute((LEGACY / name).read_text())
    up(database, project.migrations)
    with database.transaction() as cursor:  # before the recording, as a database is when its bot is replaced
        for table in ("micro_positions", "paper_positions"):
            cursor.execute(
                f"UPDATE {table} SET opened_at = opened_at - interval '3 years', closed_at = closed_at - interval '3 years'"
            )
        cursor.execute(
            "UPDATE symbol_protections SET expires_at = expires_at - interval '3 years', ban_until = ban_until - interval '3 years'"
        )
    return database


@pytest.mark.slow
def test_open_rows_of_the_earlier_bot_are_adopted_or_closed_as_stale_and_none_is_lost(sigil, empty_project):
    database = database_of_the_earlier_bot(empty_project)
    store = PostgresStore(database)
    found = store.open_positions()
    assert found
    with database.transaction() as cursor:
        cursor.execute("SELECT id FROM micro_positions")
        rows = cursor.fetchall()
    realized = Journal(database).realized()
    said = done(command(empty_project, *LINE, "--variant", "baseline", "--keep-open", "--alerts"))
    with database.transaction() as cursor:
        # Rows of both books may have one number: each exit is told, and measured in its own row.
        cursor.execute(
            "SELECT symbol FROM micro_positions WHERE closed_at > '2025-06-01'"
            " UNION ALL SELECT symbol FROM paper_positions WHERE closed_at > '2025-06-01'"
        )
        left = cursor.fetchall()
        cursor.execute("SELECT count(*) FROM alerts WHERE event = 'exit'")
        assert cursor.fetchone() == (len(left),)
        cursor.execute("SELECT p.id, m.id FROM paper_positions AS p JOIN micro_positions AS m USING (id)"
                       " WHERE p.closed_at > '2025-06-01' AND m.closed_at > '2025-06-01'")  # fmt: skip
        assert cursor.fetchall(), "two that ended have one number"
        cursor.execute("SELECT open_positions, equity_usd, cash_usd FROM equity_snapshots ORDER BY at DESC LIMIT 1")
        count, equity, cash = cursor.fetchone()
        assert f" trades, {count} open, equity {equity:.2f} USD, cash {cash:.2f} USD; " in said
        cursor.execute("SELECT cash_usd, adopted, symbols FROM paper_sessions")
        cash, adopted, symbols = cursor.fetchone()
    assert {a["symbol"] for a in adopted} == {p.symbol for p in found} & set(symbols)
    cost = sum(a["qty"] * a["entry_price"] * 1.0015 for a in adopted)
    assert cash == pytest.approx(max(0.0, 1000 + realized - cost))
    for a in adopted:
        assert a["stop"] == pytest.approx(a["entry_price"] * (1 - a["stop_pct"] / 100))
    ran = sigil("positions", "close", "--stale", "--reason", "left by the earlier bot", "--json", project=empty_project)
    assert ran.status == 0, ran.err
    closed = json.loads(ran.out)
    assert {c["symbol"] for c in closed} >= {p.symbol for p in found} - set(symbols)
    managed = {(a["table"], a["id"]) for a in adopted}
    assert not {(c["table"], c["id"]) for c in closed} & managed, "what a session manages is not stale"
    with database.transaction() as cursor:
        cursor.execute("SELECT id FROM micro_positions")
        assert set(cursor.fetchall()) >= set(rows), "a row was lost"
    ran = sigil("audit", "--variant", "baseline", "--json", project=empty_project)
    assert json.loads(ran.out)["unexplained"] == 0
    database.close()
