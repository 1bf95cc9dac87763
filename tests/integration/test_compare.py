"""What `sigil compare` takes for a side: reports in files and on the shelf, and paper periods in PostgreSQL."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sigil_ext.bridge.candle_files import load_candles
from sigil_ext.errors import SigilError, UsageError
from sigil_ext.services import compare as service
from sigil_ext.services import shelf
from sigil_ext.services.database import open_database
from sigil_ext.settings.overlays import flatten, load_variant
from sigil_ext.settings.project import Project
from tests.paper_history import PaperHistory, at

NONE = service.Conditions(lambda start, finish: load_candles(Path("/nowhere"), None, start, finish))


def report(name: str, pnl: list[float], *overrides: str, days: int = 31) -> dict:
    """A report as sigil backtest --json prints it, as far as a comparison looks; a trade every twenty hours."""
    trades = [
        {
            "symbol": f"C{number + 1}-USDT", "opened_at": at(20 * number + 5).isoformat(),
            "closed_at": at(20 * number + 7).isoformat(), "pnl_usd": usd, "fee": 0.15, "risk_usd": 1.5,
            "exit_reason": "atr_trail" if usd > 0 else "hard_stop",
        }
        for number, usd in enumerate(pnl)
    ]  # fmt: skip
    return {
        "variant": name, "start": at(0).isoformat(), "finish": at(24 * days).isoformat(), "trades": trades,
        "config": flatten(load_variant("baseline", overrides).settings), "symbols": ["TST-USDT", "NFP-USDT"],
    }  # fmt: skip


def written(folder: Path, name: str, document: object) -> str:
    (folder / name).write_text(json.dumps(document))
    return str(folder / name)


@pytest.fixture
def project(tmp_path) -> Project:
    return Project(tmp_path, tmp_path / "storage")


def test_runs_in_files_and_on_the_shelf_are_compared(project, tmp_path):
    one = written(tmp_path, "one.json", report("baseline", [1.0, -0.5] * 18))
    two = report("wide", [0.5, -0.25] * 18, "hard_stop.multiplier=2.5")
    kept = shelf.put(project, "backtest", {"reports": [two]}, title="x", page=None, now=datetime.now(UTC))
    c = service.compare(one, kept.id, NONE, project=project)
    assert (c["a"]["trades"], c["b"]["trades"], c["days"]) == (36, 36, 31)
    assert c["by_signal"]["pairs"] == 36
    assert c["settings"]["sentence"] == "Only hard_stop.multiplier differs (1.5 and 2.5)."
    entry = service.keep(project, c)
    assert shelf.load(project, entry.id)["verdict"] == c["verdict"]
    assert shelf.listing(project, "comparison") == [entry]


def test_of_a_file_with_several_runs_one_is_named(project, tmp_path):
    file = written(tmp_path, "runs.json", [report("baseline", [1.0]), report("moderate", [2.0])])
    c = service.compare(f"{file}#baseline", f"{file}#moderate", NONE, project=project)
    assert (c["a"]["pnl_usd"], c["b"]["pnl_usd"]) == (1.0, 2.0)
    with pytest.raises(UsageError, match=r"holds 2 runs \(baseline, moderate\); say which: .*#baseline"):
        service.compare(file, f"{file}#baseline", NONE, project=project)
    with pytest.raises(UsageError, match=r"no run 'modrate'; did you mean 'moderate'"):
        service.compare(f"{file}#modrate", f"{file}#baseline", NONE, project=project)


def test_the_period_asked_for_cuts_both_sides(project, tmp_path):
    file = written(tmp_path, "one.json", report("baseline", [1.0] * 36))
    short = service.Conditions(NONE.candles, int(at(24 * 10).timestamp() * 1000), int(at(24 * 20).timestamp() * 1000))
    c = service.compare(file, file, short, project=project)
    assert (c["days"], c["a"]["trades"]) == (10, 12)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("baselin", "did you mean 'baseline'"),
        ("baseline:", "is not something to compare"),
        ("baseline:hard_stop.multiplyer=2", "did you mean"),
        ("baseline:hard_stop.multiplier=wide", "valid number"),
        ("none.json", "no file none.json"),
        ("backtest-20261121T101500Z-ab12", "no research result"),
        ("paper:", "is no paper period"),
        ("paper:nobody", "unknown variant 'nobody'"),
        ("paper:baseline@2026-01-05", "is no paper period"),
        ("paper:baseline@soon..", "is not a date"),
        ("", "is not something to compare"),
    ],
)
def test_what_is_no_side_is_one_sentence_with_a_way_out(text, says, server):
    with pytest.raises(SigilError, match=says) as refused:
        service.compare(text, "baseline", NONE, project=server)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "document",
    [[], {}, {"cells": 3}, [1], "text", {"reports": []}, {"variant": "x", "start": 1, "finish": 2, "trades": [{}]}],
)
def test_a_file_that_holds_no_backtest_is_refused(document, project, tmp_path):
    file = written(tmp_path, "other.json", document)
    with pytest.raises(UsageError, match=r"holds no backtest|is no report"):
        service.compare(file, file, NONE, project=project)


@pytest.mark.parametrize(
    ("field", "value"),
    [("pnl_usd", math.nan), ("fee", math.inf), ("risk_usd", "much"), ("closed_at", "noon"), ("opened_at", None)],
)
def test_a_trade_that_cannot_be_read_is_named(field, value, project, tmp_path):
    broken = report("baseline", [1.0, 2.0])
    broken["trades"][1][field] = value
    file = written(tmp_path, "broken.json", broken)
    with pytest.raises(UsageError, match=r"broken\.json is no report of sigil backtest --json"):
        service.compare(file, file, NONE, project=project)


def test_a_paper_period_is_compared_with_a_run_and_its_failed_audits_are_told(server, tmp_path):
    database = open_database("unhinged", server)
    history = PaperHistory(database)
    session = history.month()
    history.audit(session, 0, 24, matched=1, differing=1, unexplained=1)
    file = written(tmp_path, "run.json", report("baseline", [1.2, 1.2, -1.6] * 12))
    c = service.compare("paper:unhinged", file, NONE, project=server)
    assert c["verdict"]["outcome"] == "same"
    assert c["a"]["source"] == "paper"
    assert c["settings"]["sentence"] == "The settings are the same."
    assert any("1 audit of the period found trades without a cause" in note for note in c["notes"])
    begun = service.compare("paper:unhinged@2026-01-10..2026-01-20", file, NONE, project=server)
    assert (begun["start"], begun["finish"], begun["days"]) == ("2026-01-10T00:00:00Z", "2026-01-20T00:00:00Z", 10)
    with pytest.raises(UsageError, match="covers 2026-01-05 00:00 to 2026-02-05 00:00 only"):
        service.compare("paper:unhinged@2027-01-01..", file, NONE, project=server)
    with pytest.raises(UsageError, match="has traded nothing on paper yet"):
        service.compare("paper:aggressive", file, NONE, project=server)
