"""Protections by a person's hand in a recording, whose market is of long ago, and what its audit tells people."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sigil_ext.db.outbox import Outbox
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.services.database import open_database
from tests.acceptance.test_paper_replay import command, done

ROOT = Path(__file__).resolve().parents[2]
STOPPED = datetime(2025, 6, 18, 14, 10, tzinfo=UTC)
SYMBOLS = ("COOKIE", "NFP", "KNC", "BID")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_ban_and_a_lift_in_a_stopped_recording_go_by_its_market_and_the_audit_finds_them(sigil, empty_project):
    def said(*arguments: str) -> dict:
        ran = sigil("protections", *arguments, "--variant", "unhinged", "--json", project=empty_project)
        assert ran.status == 0, ran.err
        return json.loads(ran.out)

    def gone_on(until: str) -> None:
        line = ("run", "paper", "--variant", "unhinged", "--candles", str(candles), "--start", "2025-06-18")
        done(command(empty_project, *line, "--finish", until, "--keep-open"))

    candles = empty_project.root / "candles"
    candles.mkdir()
    for name in (f"{symbol}USDT-1m.parquet" for symbol in SYMBOLS):
        (candles / name).symlink_to(ROOT / "sample" / name)
    database = open_database("unhinged", empty_project)
    store = PostgresStore(database)
    gone_on("2025-06-18T14:10")
    acted_after = datetime.now(UTC)
    assert said("show", "COOKIE-USDT")["barred_by"] == "cooldown"
    assert said("lift", "COOKIE-USDT", "--reason", "a test")["expires_at"] == STOPPED.isoformat()
    # Both would be entered at 14:15: one is banned and free again before, the other banned for two hours of the market.
    banned = [said("ban", symbol, "--hours", "2", "--reason", "news") for symbol in ("NFP-USDT", "KNC-USDT")]
    assert {b["ban_until"] for b in banned} == {(STOPPED + timedelta(hours=2)).isoformat()}
    assert said("lift", "NFP-USDT", "--reason", "a rumour")["barred_by"] is None
    listed = {p["symbol"]: p["barred_by"] for p in said("list")}
    assert (listed["COOKIE-USDT"], listed["NFP-USDT"], listed["KNC-USDT"]) == (None, None, "ban")
    assert [e["at"] for e in said("history", "KNC-USDT")][-1] == STOPPED.isoformat()
    assert all(a.at >= acted_after for a in store.acts()), "when a person acted is told by the clock on the wall"

    gone_on("2025-06-18T20:00")
    entered = {p.symbol: p.opened_at for p in store.open_positions()}
    assert entered["NFP-USDT"] == STOPPED + timedelta(minutes=5)
    assert "KNC-USDT" not in entered or entered["KNC-USDT"] >= STOPPED + timedelta(hours=2)
    ran = sigil("audit", "--variant", "unhinged", "--json", project=empty_project)
    report = json.loads(ran.out)
    assert (ran.status, report["differences"]) == (0, []), report
    assert report["matched"] > 4

    ran = sigil("flatten", "--variant", "unhinged", "--reason", "a test", project=empty_project)
    assert ran.status == 0, ran.err
    for begun_with_alerts, told in ((False, []), (True, ["audit", "start"])):
        if begun_with_alerts:
            Outbox(database).put("start", at=STOPPED, title="paper session goes on", body="with --alerts")
        ran = sigil("audit", "--variant", "unhinged", "--json", project=empty_project)
        assert json.loads(ran.out)["differences"]
        assert [a.event for a in Outbox(database).list()] == told
    database.close()
