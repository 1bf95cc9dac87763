"""The read API over a real session's record: what it says is what the tables and the candle files hold."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from sigil_ext.db.journal import Journal
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.rules.types import Entry, Exit, Signal
from sigil_ext.services import shelf
from sigil_ext.services.events import KINDS
from tests.panel_server import API, TOKEN, serving, write_env

from .conftest import RECORDED, ROOT, address_of, new_home

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
LISTS = (
    "/positions", "/trades", "/signals", "/refusals", "/universe", "/universe/scans", "/protections",
    "/protections/events", "/breaker", "/heartbeats", "/probes", "/alerts", "/acts", "/equity", "/audits", "/gate",
    "/benchmarks", "/variants", "/performance", "/risk",
)  # fmt: skip


def rows(database, query: str, *values):
    with database.transaction() as cur:
        cur.execute(query, values or None)
        return cur.fetchall()


@pytest.fixture(scope="module", autouse=True)
def some_trades_of_baseline(own):
    """Trades of baseline at the very instants at which unhinged's begin and end, so that pages have ties to break."""
    store = PostgresStore(own)
    for number in range(30):
        at = NOON + timedelta(minutes=number // 3)
        store_signal = Signal(f"S{number}-USDT", at, "breakout", 1.0, 0.9, 3.0, 60.0)
        entered = store.enter(
            Entry(f"S{number}-USDT", at, 1.0, 50.0, 50.0, 0.97, 3.0, 0.02, 1.5, True, None, at, 99, store_signal)
        )
        if number % 2:
            store.close(
                Exit(entered.position_id, f"S{number}-USDT", at + timedelta(hours=1), 1.01, "atr_trail", 0.1, 0.4),
                _NoBan(),
            )
    with own.transaction() as cur:
        cur.execute("INSERT INTO equity_snapshots VALUES (%s, 990, 10, 1000, 1)", (NOON,))


class _NoBan:
    after, window, base_hours, max_hours = 0, timedelta(days=7), 24.0, 168.0


@pytest.mark.parametrize("path", LISTS)
def test_every_list_has_both_variants_that_are_there_and_names_those_that_are_not(panel, path):
    answer = panel.get(path)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["meta"]["mode"] == "paper"
    assert datetime.fromisoformat(document["meta"]["timestamp"]).tzinfo is not None
    assert {(a["variant"], a["code"]) for a in document["meta"]["away"]} == {
        ("moderate", "unreachable"), ("aggressive", "absent"),
    }  # fmt: skip
    assert {row["variant"] for row in document["data"]} <= {"baseline", RECORDED}
    one = panel.get(path, params={"variant": RECORDED}).json()
    assert {row["variant"] for row in one["data"]} <= {RECORDED}
    assert one["meta"]["away"] == []


def test_a_limit_of_the_breaker_that_is_off_is_null(panel):
    (risk,) = panel.get("/risk", params={"variant": RECORDED}).json()["data"]
    assert {limit["name"]: limit["limit"] for limit in risk["limits"]} == {
        "daily_loss": 5.0, "drawdown": None, "consecutive_losses": None,
    }  # fmt: skip


def test_trades_are_the_closed_rows_to_the_last_float(panel, recorded):
    found = panel.get("/trades", params={"variant": RECORDED}).json()["data"]
    assert [(int(t["id"]), t["exit_reason"], t["entry_price"], t["exit_price"], t["pnl_usd"]) for t in found] == rows(
        recorded,
        "SELECT id, exit_reason, entry_price, exit_price, pnl_usd FROM micro_positions WHERE status = 'closed'"
        " ORDER BY closed_at DESC, id DESC",
    )
    assert len(found) >= 3


def test_an_open_position_is_worth_what_the_last_recorded_minute_says(panel, recorded):
    (position,) = panel.get("/positions", params={"variant": RECORDED}).json()["data"]
    candles = pd.read_parquet(ROOT / "sample" / f"{position['symbol'].replace('-', '')}-1m.parquet")
    column = "close" if "close" in candles else candles.columns[2]
    at = datetime.fromisoformat(position["price_at"])
    assert at == datetime(2025, 6, 19, tzinfo=UTC)
    assert position["price"] in set(candles[column])
    assert position["r"] == pytest.approx(position["move_pct"] / position["stop_pct"])
    assert position["unrealized_usd"] == pytest.approx((position["price"] - position["entry_price"]) * position["qty"])


@pytest.mark.parametrize("limit", [1, 4, 7])
def test_pages_over_two_variants_lose_nothing_and_repeat_nothing(panel, limit):
    whole = panel.get("/positions", params={"status": "all", "limit": 1000}).json()
    assert whole["meta"]["next"] is None
    paged, cursor = [], None
    for _ in itertools.count():
        page = panel.get(
            "/positions", params={"status": "all", "limit": limit} | ({"cursor": cursor} if cursor else {})
        ).json()
        assert len(page["data"]) <= limit
        paged += page["data"]
        if (cursor := page["meta"]["next"]) is None:
            break
    assert [(p["variant"], p["id"]) for p in paged] == [(p["variant"], p["id"]) for p in whole["data"]]
    assert len(whole["data"]) == 34


def test_filters_leave_what_they_say(panel):
    trades = panel.get("/trades", params={"limit": 1000}).json()["data"]
    symbol = next(t["symbol"] for t in trades if t["variant"] == RECORDED)
    assert [t for t in trades if t["symbol"] == symbol] == panel.get(
        "/trades", params={"symbol": symbol.replace("-", "")}
    ).json()["data"]
    stopped = panel.get("/trades", params={"exit_reason": "hard_stop"}).json()["data"]
    assert stopped == [t for t in trades if t["exit_reason"] == "hard_stop"]
    assert stopped
    middle = sorted(t["closed_at"] for t in trades)[len(trades) // 2]
    late = panel.get("/trades", params={"since": middle}).json()["data"]
    early = panel.get("/trades", params={"until": middle}).json()["data"]
    assert [*late, *early] == trades
    assert {s["acted"] for s in panel.get("/signals", params={"acted": "false"}).json()["data"]} == {False}


def test_performance_is_the_sum_of_the_trades(panel):
    for variant in ("baseline", RECORDED):
        trades = panel.get("/trades", params={"variant": variant, "limit": 1000}).json()["data"]
        (found,) = panel.get("/performance", params={"variant": variant}).json()["data"]
        assert found["trades"] == len(trades)
        assert found["pnl_usd"] == pytest.approx(sum(t["pnl_usd"] for t in trades))
        assert sum(r["trades"] for r in found["by_exit_reason"]) == len(trades)
        assert sum(d["pnl_usd"] for d in found["by_day"]) == pytest.approx(found["pnl_usd"])
        if found["mean_loss_usd"]:  # at this win rate wins and losses of this size cancel
            rate = found["win_rate_needed"]
            assert rate * found["mean_win_usd"] + (1 - rate) * found["mean_loss_usd"] == pytest.approx(0)


@pytest.mark.parametrize(("timeframe", "minutes"), [("1m", 1), ("15m", 15), ("1h", 60)])
def test_candles_are_those_of_the_file_that_the_session_ran_on(panel, timeframe, minutes):
    bars = panel.get(
        "/candles", params={"variant": RECORDED, "symbol": "TSTUSDT", "timeframe": timeframe, "limit": 40}
    ).json()["data"]
    assert len(bars) == 40
    file = pd.read_parquet(ROOT / "sample" / "TSTUSDT-1m.parquet")
    file["at"] = pd.to_datetime(file[file.columns[0]], unit="ms", utc=True)
    for bar in bars:
        begins = pd.Timestamp(bar["at"])
        of = file[(file["at"] >= begins) & (file["at"] < begins + pd.Timedelta(minutes=minutes))]
        assert (bar["open"], bar["close"]) == (of["open"].iloc[0], of["close"].iloc[-1])
        assert (bar["high"], bar["low"]) == (of["high"].max(), of["low"].min())
        assert bar["volume"] == pytest.approx(of["volume"].sum())
    earlier = panel.get(
        "/candles",
        params={
            "variant": RECORDED,
            "symbol": "TST-USDT",
            "timeframe": timeframe,
            "until": bars[20]["at"],
            "limit": 20,
        },
    ).json()["data"]
    assert earlier == bars[:20]


def test_a_damaged_minute_is_said_where_it_is_read_and_nowhere_else(panel, recorded):
    newest = "open_ms = (SELECT max(open_ms) FROM paper_minutes)"
    asked = {"variant": RECORDED, "symbol": "TSTUSDT", "timeframe": "1m", "limit": 5}
    ((whole,),) = rows(recorded, f"SELECT candles FROM paper_minutes WHERE {newest}")
    rows(recorded, f"UPDATE paper_minutes SET candles = substr(candles, 1, 40) WHERE {newest} RETURNING 1")
    try:
        damaged, trades = panel.get("/candles", params=asked), panel.get("/trades", params={"variant": RECORDED})
        listed = panel.get("/positions").json()
    finally:
        rows(recorded, f"UPDATE paper_minutes SET candles = %s WHERE {newest} RETURNING 1", bytes(whole))
    assert damaged.status_code == 503
    assert damaged.json()["error"]["code"] == "variant_damaged"
    assert "its record is damaged" in damaged.json()["error"]["message"]
    assert trades.json()["data"], "trades are not in the minutes"
    assert {(a["variant"], a["code"]) for a in listed["meta"]["away"]} >= {(RECORDED, "damaged")}
    assert panel.get("/candles", params=asked).status_code == 200, "mended, it is read at once"


def test_a_symbol_that_was_never_recorded_has_no_candles_and_what_is_no_symbol_is_refused(panel):
    asked = {"variant": RECORDED, "symbol": "BTC-USDT"}
    assert panel.get("/candles", params=asked).json()["data"] == []
    refused = panel.get("/candles", params=asked | {"symbol": "-USDT"})
    assert refused.status_code == 422
    assert "-USDT" in refused.json()["error"]["message"]


def test_the_equity_curve_ends_where_the_wallet_stands(panel, recorded):
    (curve,) = panel.get("/equity", params={"variant": RECORDED, "points": 20}).json()["data"]
    assert 10 <= len(curve["points"]) <= 22
    assert (
        curve["points"][-1]["equity_usd"]
        == rows(recorded, "SELECT equity_usd FROM equity_snapshots ORDER BY at DESC LIMIT 1")[0][0]
    )
    times = [p["at"] for p in curve["points"]]
    assert times == sorted(times)


def test_the_benchmark_is_the_pool_bought_at_the_first_minute(panel, recorded):
    (found,) = panel.get("/benchmarks", params={"variant": RECORDED, "points": 30}).json()["data"]
    session = Journal(recorded).session(Journal(recorded).last())
    minutes = list(Journal(recorded).minutes(session))
    first, last = {}, {}
    for _, candles in minutes:
        for symbol, row in candles.items():
            first.setdefault(symbol, row[2])
            last[symbol] = row[2]
    grown = sum(last[s] / first[s] for s in first) / len(first) - 1
    assert found["pool_pct"] == pytest.approx(grown * 100)
    assert found["symbols"] == 3
    assert found["points"][0]["pool_pct"] == 0


def test_the_benchmark_is_the_same_however_many_points_are_asked_for(panel, recorded):
    found = [
        panel.get("/benchmarks", params={"variant": RECORDED, "points": points}).json()["data"][0]
        for points in (2, 3, 7, 200, 500)
    ]
    (last,) = rows(recorded, "SELECT equity_usd FROM equity_snapshots ORDER BY at DESC LIMIT 1")
    (began,) = rows(recorded, "SELECT cash_usd FROM paper_sessions")
    assert found[0]["variant_pct"] == pytest.approx((last[0] / began[0] - 1) * 100)
    assert len({(f["variant_pct"], f["pool_pct"], f["since"], f["until"]) for f in found}) == 1
    assert {(f["points"][0]["variant_pct"], f["points"][0]["pool_pct"]) for f in found} == {(0.0, 0.0)}


def test_the_universe_says_why_for_every_symbol(panel, recorded):
    (scan,) = panel.get("/universe", params={"variant": RECORDED}).json()["data"]
    assert {r["symbol"] for r in scan["rows"]} == {"TST-USDT", "LISTA-USDT", "BID-USDT"}
    assert all(r["reason"] for r in scan["rows"])
    assert panel.get(f"/universe/{RECORDED}/{scan['id']}").json()["data"] == scan
    newest = panel.get("/universe/scans", params={"variant": RECORDED, "limit": 1}).json()["data"][0]
    assert newest["id"] == scan["id"]
    assert newest["pool"] == 3
    assert panel.get(f"/universe/{RECORDED}/999999").status_code == 404


def test_a_variant_that_was_named_and_is_away_is_no_empty_list(panel):
    answer = panel.get("/positions", params={"variant": "moderate"})
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "variant_unreachable"
    assert panel.get("/variants/aggressive").json()["error"]["code"] == "variant_absent"
    assert panel.get("/variants/baselin").json()["error"]["code"] == "unknown_variant"


def test_what_hangs_holds_up_nobody(settings_of_nobody, own, silent, tmp_path):
    home = new_home(tmp_path)
    write_env(home, {"baseline": address_of(own), "moderate": f"postgresql://eva@127.0.0.1:{silent}/x"})
    with serving(home, deadline_s=3.0) as panel:
        for _ in range(3):
            document = panel.get("/variants").json()
            assert [v["variant"] for v in document["data"]] == ["baseline"]
            assert "moderate" in {a["variant"] for a in document["meta"]["away"]}


def test_results_of_research_stand_on_the_shelf_without_their_paths(panel):
    project = panel.app.state.context.project
    entry = shelf.put(project, "grid", {"cells": [1, float("nan")]}, title="A grid", page="<p>", now=NOON)
    (found,) = panel.get("/runs", params={"kind": "grid"}).json()["data"]
    assert (found["id"], found["title"], found["readable"]) == (entry.id, "A grid", True)
    one = panel.get(f"/runs/{entry.id}")
    assert one.json()["data"]["document"] == {"cells": [1, None]}
    entry.file.unlink()
    broken = panel.get("/runs").json()["data"]
    assert [e["readable"] for e in broken] == [False]
    assert str(project.storage) not in panel.get("/runs").text + panel.get(f"/runs/{entry.id}").text


def test_figures_for_prometheus_are_those_of_the_api(panel):
    variants = {v["variant"]: v for v in panel.get("/variants").json()["data"]}
    text = panel.get("/sigil/metrics").text
    for name, key in (("equity_usd", "equity_usd"), ("open_positions", "open_positions"), ("pnl_usd", "pnl_usd")):
        assert f'sigil_{name}{{variant="{RECORDED}"}} {float(variants[RECORDED][key])!r}' in text
    assert 'sigil_database_up{variant="moderate"} 0.0' in text
    assert 'sigil_alive{variant="moderate"} 0.0' in text
    assert 'sigil_equity_usd{variant="moderate"}' not in text
    assert 'sigil_panel_request_seconds_count{method="GET",route="/sigil/api/v1/variants",status="2xx"}' in text
    assert TOKEN not in text


def test_what_the_dashboard_for_grafana_says_of_now_is_no_older():
    import json

    panels = json.loads((ROOT / "scripts" / "grafana" / "sigil.json").read_text())["panels"]
    of_now = [panel for panel in panels if panel["type"] != "timeseries"]
    assert [panel["title"] for panel in of_now] == [
        "Alive", "Database answers", "Breaker tripped", "Entries paused", "Since the last scan",
    ]  # fmt: skip
    for panel in of_now:
        assert all(target["instant"] and not target["range"] for target in panel["targets"]), panel["title"]
        assert panel["fieldConfig"]["defaults"]["noValue"] == "no data"


def test_every_gauge_is_on_the_dashboard_for_grafana_and_nothing_else_is():
    import json
    import re

    from sigil_ext.entrypoints.panel.metrics import GAUGES

    file = ROOT / "scripts" / "grafana" / "sigil.json"
    shown = set(
        re.findall(r"sigil_(\w+?)(?:_bucket|_count|_sum)?[{\[)\s]", " ".join(expressions(json.loads(file.read_text()))))
    )
    known = {
        *GAUGES,
        "database_up",
        "database_latency_seconds",
        "panel_listeners",
        "panel_listeners_dropped",
        "panel_request_seconds",
    }
    assert shown <= known
    assert {"alive", "scan_age_seconds", "equity_usd", "breaker_tripped", "database_up", "open_positions"} <= shown


def expressions(document):
    if isinstance(document, dict):
        for key, value in document.items():
            if key == "expr":
                yield value + " "
            else:
                yield from expressions(value)
    elif isinstance(document, list):
        for value in document:
            yield from expressions(value)


def test_the_document_names_every_route_and_the_pages_show_it(panel):
    document = panel.get("/openapi.json").json()
    written = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for path in document["paths"]:
        shown = path.rpartition("/")[2] if "/acts/" in path else path.removeprefix(API)
        assert f"`{shown}`" in written, path
    for kind in KINDS:
        assert f"`{kind}`" in written
    for path in LISTS:
        assert API + path in document["paths"]
    page = panel.get("/docs").text
    assert all(path in page for path in document["paths"])
    assert "http://" not in page
    assert "https://" not in page
