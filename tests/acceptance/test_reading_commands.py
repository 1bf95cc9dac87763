"""`sigil universe`, `positions` and `status` as people use them: on what a session wrote, on what the earlier bot left, and
on databases that are empty, old, missing, down or hung."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from sigil_ext.bridge.candle_files import load_candles
from sigil_ext.db import migrate
from sigil_ext.db.heartbeat import Heartbeat
from sigil_ext.db.journal import Journal
from sigil_ext.db.outbox import Outbox
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.rules.types import UniverseRow, UniverseScan
from sigil_ext.services import status as status_service
from sigil_ext.services.status import LIMIT_S
from sigil_ext.services.universe import scan_now
from sigil_ext.settings.environment import variant_key
from sigil_ext.settings.overlays import load_variant

ROOT = Path(__file__).resolve().parents[2]
LEGACY = ROOT / "tests" / "migration" / "legacy"
FINISH = "2025-06-19"
VARIANT = "unhinged"
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
MEASURES = {
    "candles": 1440.0, "age_hours": 500.0, "price": 0.05, "quote_volume_usd": 5e6, "atr_pct": 2.0, "tick_pct": 0.02,
    "zero_volume_pct": 1.0, "change_pct": 3.0,
}  # fmt: skip


def url(database) -> str:
    return database.address.url().get_secret_value()


def rows(database, query: str, *values):
    with database.transaction() as cur:
        cur.execute(query, values or None)
        return cur.fetchall() if cur.description else []


def plain(scan: UniverseScan):
    """A scan to compare with others: NaN, which equals nothing, as its name."""
    return scan.at, [
        (r.symbol, r.accepted, r.reason, r.score, r.rank, {k: v if math.isfinite(v) else str(v) for k, v in r.measures.items()})
        for r in scan.rows
    ]  # fmt: skip


@pytest.fixture(scope="module")
def replayed(server, new_database, tmp_path_factory):
    """The database of a session that ran over the sample for two days, and was stopped with positions open."""
    database = new_database(VARIANT)
    migrate.up(database, server.migrations)
    home = tmp_path_factory.mktemp("replayed")
    for name in ("overlays", "migrations", "strategies", "sample"):
        (home / name).symlink_to(ROOT / name)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "SIGIL_"))}
    subprocess.run(
        [sys.executable, "-m", "sigil_ext", "run", "paper", "--variant", VARIANT, "--candles", str(ROOT / "sample"),
         "--finish", FINISH, "--keep-open"],
        cwd=home, env=environment | {"SIGIL_HOME": str(home), variant_key(VARIANT): url(database)}, check=True,
        capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    yield database
    database.close()


@pytest.fixture
def at(monkeypatch):
    """Let a variant's database be this one: at(variant, database or address)."""

    def point(variant: str, where) -> None:
        monkeypatch.setenv(variant_key(variant), where if isinstance(where, str) else url(where))

    return point


@pytest.fixture
def said(sigil, empty_project):
    """Run a command with --json and return the document."""

    def run(*arguments: str, status: int = 0):
        ran = sigil(*arguments, "--json", project=empty_project)
        assert ran.status == status, ran
        return json.loads(ran.out)

    return run


@pytest.fixture
def refused(sigil, empty_project):
    def run(*arguments: str) -> str:
        ran = sigil(*arguments, project=empty_project)
        assert (ran.status, ran.out) == (2, ""), ran
        assert len(ran.err.strip().splitlines()) == 1
        return ran.err

    return run


@pytest.fixture
def ours(database, at):
    """A fresh database of baseline's, as the one that the commands find."""
    at("baseline", database)
    return PostgresStore(database)


def row(symbol: str, reason: str = "accepted", rank: int | None = 1, score: float | None = 0.5, **measures: float):
    return UniverseRow(symbol, reason in ("accepted", "held"), reason, score, rank, MEASURES | measures)


# --- universe: a scan by hand ---------------------------------------------------------------------------------------


def test_a_scan_by_hand_finds_what_the_session_found_at_that_instant(replayed, at, empty_project):
    at(VARIANT, replayed)
    scans = rows(replayed, "SELECT id, at FROM universe_scans ORDER BY id")
    assert len(scans) > 45
    store = PostgresStore(replayed)
    for number, instant in [*scans[::6], scans[-1]]:
        stored = store.scan(number)
        at_ms = int(instant.timestamp() * 1000)
        by_hand = scan_now(load_variant(VARIANT), at_ms=at_ms, project=empty_project)
        of_files = scan_now(load_variant(VARIANT), folder=ROOT / "sample", at_ms=at_ms, project=empty_project)
        assert plain(by_hand.scan) == plain(of_files.scan) == plain(stored), instant
        assert by_hand.stored_as is None
    assert rows(replayed, "SELECT count(*) FROM universe_scans") == [(len(scans),)]


def test_a_folder_alone_is_scanned_without_any_database(said, empty_project):
    document = said("universe", "scan", "--variant", "baseline", "--candles", str(ROOT / "sample"))
    assert document["stored_as"] is None
    assert "no database" in document["considered"]
    assert len(document["scan"]["symbols"]) == 12
    assert document["scan"]["accepted"] == sorted(r["symbol"] for r in document["scan"]["symbols"] if r["accepted"])
    assert said("universe", "scan", "--variant", "legacy", "--candles", str(ROOT / "sample"))["scan"]["accepted"]
    assert not (empty_project.storage / "postgres").exists()


def test_settings_decide_and_bans_and_open_positions_count(said, ours):
    folder = ("universe", "scan", "--variant", "baseline", "--candles", str(ROOT / "sample"))
    best = said(*folder)["scan"]["accepted"]
    assert len(said(*folder, "--set", "universe.size=2")["scan"]["accepted"]) == 2
    long_ago = datetime(2025, 6, 1, tzinfo=UTC)
    ours.add_ban(best[0], until=long_ago + timedelta(days=60), at=long_ago, actor="me", reason="odd")
    scanned = said(*folder)
    reasons = {r["symbol"]: r["reason"] for r in scanned["scan"]["symbols"]}
    assert reasons[best[0]] == "banned"
    assert "bans (1)" in scanned["considered"]
    ours.lift(best[0], at=datetime(2025, 6, 20, tzinfo=UTC), actor="me", reason="well again")
    assert best[0] in said(*folder)["scan"]["accepted"]
    earlier = said(*folder, "--at", "2025-06-19")  # before it was lifted
    assert {r["symbol"]: r["reason"] for r in earlier["scan"]["symbols"]}[best[0]] == "banned"


def test_a_scan_is_kept_only_when_asked_for_and_never_under_an_open_session(said, refused, ours):
    folder = ("universe", "scan", "--variant", "baseline", "--candles", str(ROOT / "sample"))
    said(*folder)
    assert ours.last_scan() is None
    document = said(*folder, "--store")
    number, stored = ours.last_scan()
    assert document["stored_as"] == number
    assert said("universe", "show")["scan"] == {"id": number, **document["scan"]}
    assert stored.accepted == set(document["scan"]["accepted"])
    journal = Journal(ours.database)
    journal.begin({}, ["TST-USDT"], 0, {"TST-USDT": np.zeros((0, 6))})
    assert "is not ended" in refused(*folder, "--store")
    assert ours.last_scan()[0] == number


def test_a_symbol_that_begins_later_is_scanned_as_one_without_candles(said, ours, tmp_path):
    sets = load_candles(ROOT / "sample")
    first = sets["TST-USDT"].candles
    for symbol, kept in (("TSTUSDT", first[:2000]), ("NFPUSDT", sets["NFP-USDT"].candles[1900:2000])):
        lines = [f"{int(r[0])},{r[1]!r},{r[3]!r},{r[4]!r},{r[2]!r},{r[5]!r}" for r in kept.tolist()]
        (tmp_path / f"{symbol}-1m.csv").write_text("timestamp,open,high,low,close,volume\n" + "\n".join(lines) + "\n")
    instant = datetime.fromtimestamp((first[1800, 0]) / 1000, UTC).isoformat()
    document = said("universe", "scan", "--variant", "baseline", "--candles", str(tmp_path), "--at", instant)
    reasons = {r["symbol"]: (r["reason"], r["measures"]["price"]) for r in document["scan"]["symbols"]}
    assert reasons["NFP-USDT"] == ("no_candles", None)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["scan"], "--variant"),
        (["scan", "--variant", "baseline"], "recorded no candles"),
        (["scan", "--variant", "basline", "--candles", "sample"], "baseline"),
        (["scan", "--variant", "baseline", "--candles", "nowhere"], "nowhere"),
        (["scan", "--variant", "baseline", "--candles", str(ROOT / "sample"), "--at", "noon"], "--at"),
        (
            ["scan", "--variant", "baseline", "--candles", str(ROOT / "sample"), "--at", "2031-01-01"],
            "outside the candles",
        ),
        (["scan", "--variant", "legacy", "--candles", str(ROOT / "sample"), "--store"], "research"),
        (["show", "--scan", "7"], "nothing was scanned yet"),
        (["explain", "TST-USDT"], "no scan yet"),
        (["diff", "1"], "two scans"),
        (["diff", "1", "2"], "no scan 1"),
        (["show", "--all", "--variant", "baseline"], "exclude each other"),
        (["diff", "1", "2", "--all"], "a variant's own"),
    ],
)
def test_wrong_use_of_the_universe_gets_one_sentence(refused, ours, arguments, word):
    assert word in refused("universe", *arguments)


# --- universe: show, explain, diff ----------------------------------------------------------------------------------


def test_every_reason_of_a_recorded_session_is_explained_by_its_own_settings(replayed, at, said):
    at(VARIANT, replayed)
    last = said("universe", "show", "--variant", VARIANT)["scan"]
    first = rows(replayed, "SELECT min(id) FROM universe_scans")[0][0]
    seen = set()
    for number in (first, last["id"]):
        for shown in said("universe", "show", "--variant", VARIANT, "--scan", str(number))["scan"]["symbols"]:
            told = said("universe", "explain", shown["symbol"], "--variant", VARIANT, "--scan", str(number))
            assert told["reason_follows"]
            assert told["settings_from"] == "the session that scanned"
            assert told["row"] == shown
            assert shown["symbol"] in told["sentence"]
            assert [f["filter"] for f in told["filters"] if f["refuses"]][:1] == (
                [] if shown["rank"] else [shown["reason"]]
            )
            seen.add(shown["reason"])
    assert {"too_young", "accepted"} <= seen
    told = said("universe", "explain", "tstusdt", "--variant", VARIANT, "--scan", str(first))
    assert "is under universe.min_age (24 h)" in told["sentence"]


def test_who_came_and_who_left_is_told_with_the_reasons_then_and_now(said, sigil, ours, empty_project):
    ours.save_scan(UniverseScan(NOON, (row("AAA-USDT"), row("BBB-USDT", rank=2, score=0.4), row("CCC-USDT", "atr_too_low", None, None, atr_pct=0.5), row("DDD-USDT", "atr_too_low", None, None, atr_pct=0.4))))  # fmt: skip
    ours.save_scan(UniverseScan(NOON + timedelta(hours=1), (row("CCC-USDT", atr_pct=1.5), row("AAA-USDT", "volume_too_low", None, None, quote_volume_usd=3e5), row("DDD-USDT", "too_young", None, None, age_hours=3.0), row("EEE-USDT", "ranked_out", 21, 0.1))))  # fmt: skip
    difference = said("universe", "diff")["difference"]
    assert [m["symbol"] for m in difference["came"]] == ["CCC-USDT"]
    assert [m["symbol"] for m in difference["left"]] == ["AAA-USDT", "BBB-USDT"]
    why = {m["symbol"]: m["why"] for m in [*difference["came"], *difference["left"]]}
    assert "number 1 of 2 by score" in why["CCC-USDT"]
    assert "before: atr_too_low: ATR 0.5 % is under universe.min_atr_pct" in why["CCC-USDT"]
    assert (
        "now volume_too_low: quote volume of 24 h 300,000 USD is under universe.min_quote_volume_usd" in why["AAA-USDT"]
    )
    assert why["BBB-USDT"].startswith("now not in the pool; before: number 2 of 2")
    assert difference["other_reasons"] == [{"symbol": "DDD-USDT", "before": "atr_too_low", "after": "too_young"}]
    back = said("universe", "diff", "2", "1")["difference"]
    assert [m["symbol"] for m in back["came"]] == ["AAA-USDT", "BBB-USDT"]
    ran = sigil("universe", "diff", project=empty_project)
    assert "+ CCC-USDT came: now number 1 of 2" in ran.out
    assert "- AAA-USDT left" in ran.out


def test_a_ban_is_told_with_its_end_and_settings_of_today_are_named(said, ours):
    ours.add_ban("AAA-USDT", until=NOON + timedelta(hours=5), at=NOON - timedelta(hours=1), actor="me", reason="x")
    ours.save_scan(UniverseScan(NOON, (row("AAA-USDT", "banned", None, None),)))
    told = said("universe", "explain", "AAAUSDT")
    assert "banned until 2026-01-05 17:00 UTC" in told["sentence"]
    assert told["settings_from"] == "today's overlay, because no session was recorded then"
    ours.save_scan(UniverseScan(NOON, (row("BBB-USDT", "atr_too_low", None, None, atr_pct=5.0),)))
    assert said("universe", "explain", "BBB-USDT")["reason_follows"] is False


def test_rows_of_which_little_was_stored_are_shown_and_explained(said, sigil, ours, empty_project):
    (number,) = rows(ours.database, "INSERT INTO universe_scans (at) VALUES (%s) RETURNING id", NOON)[0]
    rows(
        ours.database,
        "INSERT INTO universe_rows (scan_id, place, symbol, accepted, reason) VALUES"
        " (%s, 0, 'AAAUSDT', true, 'accepted'), (%s, 1, '[b]X', false, 'moon_phase')",
        number, number,
    )  # fmt: skip
    rows(ours.database, "INSERT INTO universe_scans (at) VALUES (%s)", NOON)  # of an empty pool
    assert said("universe", "show")["scan"]["symbols"] == []
    assert said("universe", "show", "--scan", str(number))["scan"]["symbols"][0]["measures"] == {}
    assert "figures were not stored" in json.dumps(said("universe", "explain", "AAA-USDT", "--scan", str(number)))
    ran = sigil("universe", "show", "--scan", str(number), project=empty_project)
    assert "[b]X" in ran.out
    assert said("universe", "diff")["difference"]["left"][0]["after"] is None


def test_near_names_are_offered_for_symbols_and_last_numbers_for_scans(refused, ours):
    for _ in range(7):
        ours.save_scan(UniverseScan(NOON, (row("TST-USDT"), row("NFP-USDT", rank=2))))
    assert "did you mean 'TST-USDT'" in refused("universe", "explain", "TSTT-USDT")
    assert "'NFP-USDT'" in refused("universe", "explain", "NFPUSTD")
    assert "the last ones are 7, 6, 5, 4, 3" in refused("universe", "show", "--scan", "99")
    assert "has no scan" in refused("universe", "show", "--scan", str(10**30))


def test_all_four_are_shown_at_once_and_an_empty_one_says_so(said, sigil, server, new_database, at, empty_project):
    for variant in ("baseline", "moderate", "aggressive", "unhinged"):
        database = new_database(variant)
        migrate.up(database, server.migrations)
        at(variant, database)
    documents = said("universe", "show", "--all")
    assert [(d["variant"], d["scan"]) for d in documents] == [
        (v, None) for v in ("baseline", "moderate", "aggressive", "unhinged")
    ]
    assert said("universe", "diff", "--all")[3] == {"variant": "unhinged", "difference": None}
    assert "fewer than two scans" in sigil("universe", "diff", project=empty_project).out
    assert "has no scan yet" in sigil("universe", "show", project=empty_project).out


# --- positions ------------------------------------------------------------------------------------------------------


def test_positions_of_a_session_are_told_as_its_rows_and_candles_say(replayed, at, said):
    at(VARIANT, replayed)
    document = said("positions", "list", "--variant", VARIANT)
    in_rows = dict(rows(replayed, "SELECT status, count(*) FROM micro_positions GROUP BY status"))
    assert (document["open"], document["closed"]) == (in_rows["open"], in_rows["closed"])
    assert document["pnl_usd"] == pytest.approx(rows(replayed, "SELECT sum(pnl_usd) FROM micro_positions")[0][0])
    candles = load_candles(ROOT / "sample", None, None, int(datetime(2025, 6, 19, tzinfo=UTC).timestamp() * 1000))
    for p in document["positions"]:
        minutes = candles[p["symbol"]].candles
        if p["status"] == "open":
            assert p["price"] == minutes[-1, 2]
            assert p["price_at"] == "2025-06-19T00:00:00+00:00"
        else:
            assert p["price"] == p["exit_price"]
        assert p["r"] == pytest.approx((p["price"] / p["entry_price"] - 1) * 100 / p["stop_pct"])
        shown = said("positions", "show", p["id"], "--variant", VARIANT)
        assert {k: v for k, v in shown.items() if k in p and k not in ("mae_r", "mfe_r")} == {
            k: v for k, v in p.items() if k not in ("mae_r", "mfe_r")
        }
        assert shown["signal"]["close"] == pytest.approx(p["entry_price"])
        assert shown["universe"]["reason"] in ("accepted", "held")
        begun, ended = (
            datetime.fromisoformat(p[k] or p["price_at"]).timestamp() * 1000 for k in ("opened_at", "closed_at")
        )
        stopped = p["exit_reason"] in ("hard_stop", "atr_trail")
        inside = minutes[(minutes[:, 0] >= begun) & (minutes[:, 0] < ended - 60_000 * stopped)]
        risk = p["entry_price"] * p["stop_pct"] / 100
        lowest, highest = min([p["price"], *inside[:, 4]]), max([p["price"], *inside[:, 3]])
        assert shown["mae_r"] == pytest.approx(max(0.0, (p["entry_price"] - lowest) / risk), abs=1e-9)
        assert shown["mfe_r"] == pytest.approx(max(0.0, (highest - p["entry_price"]) / risk), abs=1e-9)


def test_positions_are_filtered_and_limited(replayed, at, said):
    at(VARIANT, replayed)
    everything = said("positions", "list", "--variant", VARIANT)["positions"]
    closed = [p for p in everything if p["status"] == "closed"]
    assert said("positions", "list", "--closed", "--variant", VARIANT)["positions"] == closed
    only_open = said("positions", "list", "--open", "--variant", VARIANT)["positions"]
    assert [p["id"] for p in only_open] == [p["id"] for p in everything if p["status"] == "open"]
    limited = said("positions", "list", "--limit", "2", "--variant", VARIANT)
    assert limited["left_out"] == len(closed) - 2
    assert limited["positions"] == [*only_open, *closed[:2]]
    symbol = closed[0]["symbol"]
    for spelling in (symbol, symbol.replace("-", "").lower()):
        found = said("positions", "list", "--symbol", spelling, "--variant", VARIANT)["positions"]
        assert {p["symbol"] for p in found} == {symbol}
    since = closed[len(closed) // 2]["closed_at"]
    later = said("positions", "list", "--closed", "--since", since, "--variant", VARIANT)["positions"]
    assert [p["id"] for p in later] == [p["id"] for p in closed if p["closed_at"] >= since]


def test_what_the_earlier_bot_left_is_read_as_it_is(empty_database, server, at, said, sigil, empty_project):
    for name in ("013_schema.sql", "013_sample.sql"):
        rows(empty_database, (LEGACY / name).read_text())
    migrate.up(empty_database, server.migrations)
    at("baseline", empty_database)
    document = said("positions", "list")
    assert (document["open"], document["closed"], document["superseded"]) == (5, 4, 7)
    by_id = {p["id"]: p for p in document["positions"]}
    assert by_id["p1"]["table"] == "paper_positions"
    assert by_id["2"]["superseded_by"] == 1
    assert {p["r"] for p in document["positions"]} == {None}
    assert {p["price"] for p in document["positions"] if p["status"] == "open"} == {None}
    for number in by_id:
        shown = said("positions", "show", number)
        assert (shown["universe"], shown["mae_r"], shown["stop_price"]) == (None, None, None)
        assert sigil("positions", "show", number, project=empty_project).status == 0
    assert "not known: none is recorded" in sigil("positions", "show", "p1", project=empty_project).out
    assert "7 superseded" in sigil("positions", "list", project=empty_project).out
    assert [p["id"] for p in said("positions", "list", "--symbol", "KNCUSDT", "--open")["positions"]] == ["p1"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["show"], "ID"),
        (["show", "99"], "no position 99"),
        (["show", "p12"], "did you mean '12'?"),
        (["show", "1; DROP"], "no position"),
        (["list", "--open", "--closed"], "exclude each other"),
        (["list", "--symbol", "TSTX-USDT"], "did you mean 'TST-USDT'"),
        (["list", "--symbol", "rubbish"], "unknown symbol"),
        (["list", "--since", "yesterday"], "--since"),
        (["list", "--variant", "legacy"], "research"),
        (["list", "--variant", "moderat"], "moderate"),
    ],
)
def test_wrong_use_of_positions_gets_one_sentence(empty_database, server, at, refused, arguments, word):
    for name in ("013_schema.sql", "013_sample.sql"):
        rows(empty_database, (LEGACY / name).read_text())
    migrate.up(empty_database, server.migrations)
    at("baseline", empty_database)
    assert word in refused("positions", *arguments)


def test_a_variant_without_positions_says_so(sigil, ours, empty_project):
    assert "no such position" in sigil("positions", "list", project=empty_project).out


def test_a_database_of_the_earlier_bot_that_waits_for_its_migration_is_not_touched(empty_database, at, refused, said):
    rows(empty_database, (LEGACY / "013_schema.sql").read_text())
    at("baseline", empty_database)
    assert "sigil migrate up" in refused("positions", "list")
    (found,) = said("status", "--variant", "baseline", status=1)["variants"]
    assert "schema 013" in found["problems"][0]
    scanned = said("universe", "scan", "--variant", "baseline", "--candles", str(ROOT / "sample"))
    assert "waits for sigil migrate up" in scanned["considered"]
    assert rows(empty_database, "SELECT max(version) FROM schema_migrations") == [(13,)]


# --- status ---------------------------------------------------------------------------------------------------------


class HungServer:
    """Takes connections and never says a word, as a server that is stopped or stuck does."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.held: list[socket.socket] = []
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        while True:
            try:
                self.held.append(self.socket.accept()[0])
            except OSError:
                return

    def close(self) -> None:
        self.socket.close()
        for link in self.held:
            link.close()


@pytest.fixture
def live(database, at):
    """Baseline, alive: its session holds the lock, scans and processes minutes."""
    at("baseline", database)
    store = PostgresStore(database)
    with closing(Journal(database).lock()) as lock:
        heart = Heartbeat(database)
        session = Journal(database).begin({}, ["TST-USDT"], 0, {"TST-USDT": np.zeros((0, 6))})
        heart.state("running", session_id=session.id, feed="exchange")
        heart.scan_started()
        heart.scan_ended()
        heart.progress(int(time.time() // 60 * 60_000) - 60_000, session_id=session.id, feed="exchange")
        yield store, lock


def test_a_living_variant_is_fine(live, said, sigil, empty_project):
    document = said("status", "--variant", "baseline")
    (found,) = document["variants"]
    assert (document["problems"], found["life"], found["alive"], found["problems"]) == (0, "alive", True, [])
    assert 0 <= found["heartbeat"]["last_scan_age_s"] < 60
    assert found["session"] == {"open": True, "connected": True}
    ran = sigil("status", "--variant", "baseline", project=empty_project)
    assert (ran.status, ran.err) == (0, "")
    assert "no problem found" in ran.out


def test_a_session_whose_process_is_gone_is_dead_at_once(live, said):
    _, lock = live
    lock.close()
    (found,) = said("status", "--variant", "baseline", status=1)["variants"]
    assert (found["life"], found["alive"]) == ("dead", False)
    assert "no process holds the session's lock" in found["problems"][0]


def test_a_session_that_hangs_is_stale(live, said):
    store, _ = live
    rows(
        store.database,
        "UPDATE scanner_heartbeat SET last_scan_start = last_scan_start - interval '1 hour',"
        " last_scan_end = last_scan_end - interval '1 hour', last_write = last_write - interval '1 hour'",
    )
    (found,) = said("status", "--variant", "baseline", status=1)["variants"]
    assert found["life"] == "stale"
    assert any("the last scan ended 60 min ago" in p for p in found["problems"])


def test_what_was_ended_on_purpose_is_no_problem_yet(live, said):
    store, lock = live
    Heartbeat(store.database).state("ended", session_id=1, feed="replay")
    lock.close()
    (found,) = said("status", "--variant", "baseline")["variants"]
    assert (found["life"], found["problems"]) == ("ended", [])


def test_everything_that_is_wrong_is_told_and_each_thing_ends_with_status_1(live, said):
    store, _ = live
    now = datetime.now(UTC)

    def problems() -> list[str]:
        (found,) = said("status", "--variant", "baseline", status=1)["variants"]
        return found["problems"]

    store.pause(at=now, actor="me", reason="holiday")
    assert any("paused" in p and "holiday" in p for p in problems())
    store.resume(at=now, actor="me", reason="back")
    store.trip(at=now, actor="probe", reason="odd fills")
    assert any("tripped" in p and "odd fills" in p for p in problems())
    store.reset(at=now, actor="me", reason="looked")
    rows(store.database, "INSERT INTO incidents (key, detail) VALUES ('feed:lost', 'no candle')")
    assert any("feed:lost" in p and "no candle" in p for p in problems())
    rows(store.database, "DELETE FROM incidents")
    Outbox(store.database).put("entry", at=now, title="t", body="b")
    assert said("status", "--variant", "baseline")["variants"][0]["alerts"]["waiting"] == 1
    rows(store.database, "UPDATE alerts SET created_at = created_at - interval '1 hour'")
    assert any("1 alerts are not delivered" in p for p in problems())
    rows(store.database, "UPDATE alerts SET state = 'given_up', settled_at = now()")
    assert any("given up" in p for p in problems())
    rows(store.database, "DELETE FROM alerts")
    rows(
        store.database,
        "INSERT INTO audits (session_id, since, until, matched, paper_only, backtest_only, differing, unexplained, report)"
        " VALUES (1, now(), now(), 9, 1, 0, 0, 1, '{}')",
    )
    assert any("1 differences unexplained" in p for p in problems())


def test_the_record_of_a_session_adds_up(replayed, at, said):
    at(VARIANT, replayed)
    (found,) = said("status", "--variant", VARIANT, status=1)["variants"]
    assert found["heartbeat"]["feed"] == "replay"
    assert found["market_now"] == "2025-06-19T00:00:00+00:00"
    opened, pnl = rows(replayed, "SELECT count(*) FILTER (WHERE status = 'open'), sum(pnl_usd) FROM micro_positions")[0]
    assert found["open_positions"] == opened > 0
    assert found["pnl_usd"] == pytest.approx(pnl)
    assert found["pnl_today_usd"] == 0.0  # the day of the last candle has just begun
    assert f"{opened} open positions are watched by nobody" in found["problems"]
    last_day = rows(replayed, "SELECT sum(pnl_usd) FROM micro_positions WHERE closed_at >= '2025-06-18'")[0][0]
    rows(replayed, "UPDATE scanner_heartbeat SET last_candle = last_candle - interval '1 minute'")
    try:
        (found,) = said("status", "--variant", VARIANT, status=1)["variants"]
        assert found["pnl_today_usd"] == pytest.approx(last_day)
    finally:
        rows(replayed, "UPDATE scanner_heartbeat SET last_candle = last_candle + interval '1 minute'")


def test_databases_that_are_down_hung_or_missing_have_their_row_and_hold_up_nobody(
    live, at, said, server, sigil, empty_project
):
    store, _ = live
    hung = HungServer()
    with socket.create_server(("127.0.0.1", 0)) as unused:
        closed_port = unused.getsockname()[1]
    at("moderate", f"postgresql://u:secret-word@127.0.0.1:{closed_port}/x")
    at("aggressive", f"postgresql://u:secret-word@127.0.0.1:{hung.port}/x")
    at("unhinged", url(store.database).replace(store.database.address.name, "test_not_there"))
    try:
        began = time.monotonic()
        document = said("status", status=1)
        assert time.monotonic() - began < LIMIT_S + 30, "a hung server would hold it for ever"
    finally:
        hung.close()
    found = {row["variant"]: row for row in document["variants"]}
    assert list(found) == ["baseline", "moderate", "aggressive", "unhinged"]
    assert found["baseline"]["alive"]
    assert [found[v]["reached"] for v in found] == [True, False, False, False]
    assert "no server answers" in found["moderate"]["problems"][0]
    assert "answer" in found["aggressive"]["problems"][0]
    assert "there is no database 'test_not_there'" in found["unhinged"]["problems"][0]
    assert "secret-word" not in json.dumps(document)
    names = rows(store.database, "SELECT datname FROM pg_database")
    assert ("test_not_there",) not in names
    assert not (empty_project.storage / "postgres").exists()


def test_without_anything_configured_nothing_is_started(said, sigil, empty_project):
    document = said("status", status=1)
    assert {row["life"] for row in document["variants"]} == {"not known"}
    assert all("nothing ran yet" in row["problems"][0] for row in document["variants"])
    assert not (empty_project.storage / "postgres").exists()
    assert sigil("status", project=empty_project).status == 1


def test_a_stopped_embedded_server_stays_stopped(said, sigil, empty_project):
    sigil("db", "start", project=empty_project)
    assert all("has no database yet" in row["problems"][0] for row in said("status", status=1)["variants"])
    sigil("db", "stop", project=empty_project)
    assert all("does not run" in row["problems"][0] for row in said("status", status=1)["variants"])
    assert sigil("db", "status", project=empty_project).status == 1


@pytest.mark.parametrize(("name", "word"), [("basline", "baseline"), ("legacy", "research")])
def test_wrong_names_for_status_get_one_sentence(refused, name, word):
    assert word in refused("status", "--variant", name)


def test_an_unforeseen_failure_in_one_thread_is_heard():
    def ask(name: str) -> str:
        if name == "b":
            raise ValueError("b is broken")
        return name

    with pytest.raises(ValueError, match="b is broken"):
        status_service.side_by_side(["a", "b"], ask, 5)
    assert status_service.side_by_side(["a"], ask, 5) == {"a": "a"}


def test_a_variant_of_the_users_own_is_shown_once_it_has_begun(said, server, new_database, at, tmp_path, monkeypatch):
    home = tmp_path / "own"
    home.mkdir()
    for name in ("migrations", "strategies", "sample"):
        (home / name).symlink_to(ROOT / name)
    (home / "overlays").mkdir()
    for path in (ROOT / "overlays").glob("*.yaml"):
        (home / "overlays" / path.name).write_text(path.read_text())
    (home / "overlays" / "mine.yaml").write_text("trail:\n  multiplier: 2.0\n")
    from sigil_ext.settings.project import Project

    own = Project(home, home / "storage")
    assert [s.variant for s in status_service.statuses(project=own)] == [
        "baseline", "moderate", "aggressive", "unhinged",
    ]  # fmt: skip
    database = new_database("mine")
    migrate.up(database, server.migrations)
    at("mine", database)
    assert status_service.statuses(project=own)[-1].variant == "mine"
    database.close()


def test_prices_of_json_are_numbers_that_json_knows(replayed, at, sigil, empty_project):
    at(VARIANT, replayed)
    for command in (["universe", "show"], ["positions", "list"], ["status"]):
        ran = sigil(*command, "--variant", VARIANT, "--json", project=empty_project)

        def refuse(word: str) -> None:
            raise AssertionError(word)

        json.loads(ran.out, parse_constant=refuse)
