"""The whole diagnosis: a JSON document, sentences, one page."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from sigil_ext.entrypoints.cli.diagnose_tables import print_diagnosis
from sigil_ext.research.diagnosis import ExitRule, Run, diagnose
from sigil_ext.research.diagnosis.page import render_page
from sigil_ext.research.diagnosis.sentences import sentences_of
from sigil_ext.research.diagnosis.walk import walk
from sigil_ext.settings.overlays import load_variant
from tests.unit.research.diagnosis.conftest import DAY, MONDAY, candles_of, position, run_of, wandering

MARKET = wandering(7)
RULE = ExitRule.of(load_variant("legacy").settings)


def lived(hour: float):
    """A position as the rule of legacy ends it on the market."""
    series = candles_of(MARKET).of("TST-USDT")
    p = position(hour, entry=float(MARKET[int(hour * 60) - 1, 2]))
    p = replace(p, atr=series.atr_at(p.opened_at_ms))
    w = walk(series, p.buys, p.atr, RULE)
    net = 100 * (w.exit_price * (1 - RULE.cost_rate) ** 2 - p.entry_price)
    return replace(p, closed_at_ms=w.closed_at_ms, exit_price=w.exit_price, exit_reason=w.reason, pnl_usd=net)


def told(runs: list[Run], today, minutes=None, seed: int = 1):
    markets = {"TST-USDT": MARKET} if minutes is None else minutes
    return diagnose(
        runs, markets, start_ms=MONDAY, finish_ms=MONDAY + 12 * DAY, today=today, seed=seed, source="a test"
    )


@pytest.fixture(scope="module")
def document(today):
    positions = [lived(float(h)) for h in range(16, 270, 6)]
    return told([Run("legacy", tuple(positions), RULE, {}), Run('<b>&"evil', tuple(positions[::2]), RULE, {})], today)


def test_the_document_is_json_and_the_same_seed_gives_the_same_one(document, today):
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    positions = tuple(lived(float(h)) for h in range(16, 270, 6))
    run = Run("legacy", positions, RULE, {})
    assert told([run], today)["runs"][0] == document["runs"][0]
    assert told([run], today, seed=2)["runs"][0]["noise"]["random"] != document["runs"][0]["noise"]["random"]


def test_walked_again_under_the_rule_as_set_every_position_ends_as_it_did(document):
    for run in document["runs"]:
        assert run["walk"] == {"walked": run["positions"], "same": run["positions"]}
        assert run["ladder"][0]["net_usd"] == pytest.approx(run["net_usd"])


def test_the_parts_of_the_document_add_up(document):
    for run in document["runs"]:
        assert sum(p["usd"] for p in run["parts"]["parts"]) == pytest.approx(run["net_usd"])


def test_random_entries_on_a_random_walk_are_told_apart_from_nothing(document):
    run = document["runs"][0]
    assert run["noise"]["low"] <= run["noise"]["own"] <= run["noise"]["high"]
    assert any("no difference is shown between the entries and chance" in s for s in run["sentences"])


def test_symbols_and_sentences_hold_the_figures(document):
    run = document["runs"][0]
    assert [s["symbol"] for s in run["by_symbol"]] == ["TST-USDT"]
    assert run["by_symbol"][0]["net_usd"] == pytest.approx(run["net_usd"])
    assert run["by_symbol"][0]["as_set_usd"] == pytest.approx(run["net_usd"])
    assert f"{run['hard_stops']['count']} of them" in run["sentences"][0]
    assert document["together"]["distinct"] == run["entries"]


def test_the_page_loads_nothing_and_says_everything(document):
    page = render_page(document)
    assert '<b>&"evil' not in page
    assert "&lt;b&gt;&amp;&quot;evil" in page
    assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=\"(?!data:)", page)
    for sentence in document["runs"][0]["sentences"]:
        assert sentence.replace("'", "&#x27;") in page
    figures = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])["figures"]
    assert {"all-parts", "all-noise", "0-parts", "0-ladder", "1-noise-pct"} <= figures.keys()
    assert all(
        np.isfinite(v) for f in figures.values() for t in f["data"] for v in t.get("y", []) if isinstance(v, float)
    )


def trail(label: str, net: float, gap: float, low: float | None, high: float | None):
    return {
        "label": label, "positions": 40, "net_usd": net, "against_as_set": {"value": gap, "low": low, "high": high}
    }  # fmt: skip


def test_trails_shown_to_be_better_are_named_with_their_interval_beside_the_stops(document):
    as_set, same = trail("as set", -242.3, 0.0, None, None), trail("trail 1.5 ATR", -242.3, 0.0, None, None)
    tight, tightest = (
        trail("trail 1 ATR", -164.6, 77.7, 46.3, 109.1),
        trail("trail 0.5 ATR", -176.9, 65.4, -10.8, 136.7),
    )
    wide = trail("no trail", -1115.6, -873.3, -1139.6, -605.0)
    run = document["runs"][0] | {"trails": [as_set, tightest, tight, same, wide]}
    assert (
        "Of 3 other trails on the same entries none made money; the best, trail 1 ATR, made -$164.60. Shown to be better than "
        "the trail as set: trail 1 ATR by +$77.70 (+$46.30 to +$109.10); shown to be worse: 1 (95 %, each looked at alone)."
    ) in sentences_of(run)
    unsure = document["runs"][0] | {"trails": [as_set, tightest]}
    assert any("better than the trail as set: none; shown to be worse: none" in s for s in sentences_of(unsure))


def test_what_is_said_of_trails_stands_in_the_text_and_on_the_page(document):
    console = Console(file=io.StringIO(), width=1000)
    print_diagnosis(console, document)
    for run in document["runs"]:
        (sentence,) = (s for s in run["sentences"] if "other trails on the same entries" in s)
        assert sentence in console.file.getvalue()
        assert sentence in render_page(document)


@pytest.mark.parametrize("positions", [[], [position(5.0, entry=1.0, exit_price=0.97)]])
def test_a_run_without_positions_or_without_candles_is_diagnosed_as_far_as_it_goes(positions, today):
    document = told([run_of(positions)], today, minutes={})
    run = json.loads(json.dumps(document, allow_nan=False))["runs"][0]
    assert run["noise"]["random"] is None
    assert run["sentences"]
    assert not any("nan" in s for s in run["sentences"])
    assert run["notes"]
    assert not re.search(r"\b1 positions", json.dumps(document))
    assert "<h1>" in render_page(document)


def test_what_was_not_computed_is_empty_and_never_zero(today):
    """Two symbols, one without candles; then nothing but that one."""
    seen, dark = lived(30.0), position(31.0, symbol="DARK-USDT", pnl=-3.0)
    (run,) = told([Run("legacy", (seen, dark), RULE, {})], today)["runs"]
    lines = {s["symbol"]: s for s in run["by_symbol"]}
    assert lines["TST-USDT"]["as_set_usd"] == pytest.approx(seen.pnl_usd)
    assert (lines["TST-USDT"]["walked"], lines["DARK-USDT"]["walked"]) == (1, 0)
    walked = ("as_set_usd", "at_1_5_atr_usd", "at_2_5_atr_usd", "at_1_5_atr_hard_stops", "at_2_5_atr_hard_stops")
    assert [lines["DARK-USDT"][key] for key in walked] == [None] * 5

    document = told([Run("legacy", (dark,), RULE, {})], today)
    (run,) = document["runs"]
    for line in (*run["ladder"], *run["trails"]):
        assert line["net_usd"] is line["hard_stops"] is line["hard_stop_usd"] is line["open_at_end"] is None
    parts = {p["name"]: p["usd"] for p in run["parts"]["parts"]}
    assert [name for name, usd in parts.items() if usd is None] == ["payoff", "geometry", "entry", "market"]
    assert sum(usd for usd in parts.values() if usd is not None) == pytest.approx(run["net_usd"])
    assert any("no candles -$3.00" in s for s in run["sentences"])
    console = Console(file=io.StringIO(), width=200)
    print_diagnosis(console, document)
    for said in (render_page(document), console.file.getvalue()):
        assert said.count("n/a") > 100
