"""Parts of the pages that need no browser: what is served, heatmaps, figures for people."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigil_ext.entrypoints.panel.pages.heatmaps import choices, heatmaps
from sigil_ext.entrypoints.panel.pages.rendering import ago, price, usd
from sigil_ext.entrypoints.panel.pages.shelf_reports import Report, report
from sigil_ext.entrypoints.panel.pages.shelf_views import views
from sigil_ext.entrypoints.panel.texts import TURNING, harmless
from sigil_ext.research.comparison import Side, compare_sides
from sigil_ext.research.comparison_figures import ComparedTrade

PANEL = Path(__file__).resolve().parents[2] / "sigil_ext" / "entrypoints" / "panel"
VENDOR = PANEL / "static" / "vendor"
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def test_the_vendored_parts_are_those_that_the_readme_names():
    table = re.findall(r"\| `([\w.-]+)` \|.*\| `([0-9a-f]{64})` \|", (VENDOR / "README.md").read_text())
    assert table
    for name, digest in table:
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest
        assert (VENDOR / f"{name.rsplit('-', 1)[0]}-LICENSE").is_file()
        assert name in (PANEL / "static" / "chart.js").read_text()


@pytest.mark.parametrize("file", sorted([*(PANEL / "templates").glob("*.html"), *(PANEL / "static").glob("*.*s")]))
def test_no_page_loads_anything_from_outside_or_has_a_script_or_a_style_in_it(file: Path):
    text = file.read_text()
    assert not re.search(r"""(src|@import|url\()\s*=?\s*["'(]?https?:""", text)
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", text)


def grid(axes: dict[str, list[object]], variants: tuple[str, ...] = ("baseline",), best: int | None = None) -> dict:
    """A grid's document with a cell for each combination; P&L is the cell's number less three."""
    combinations: list[dict[str, object]] = [{}]
    for key, values in axes.items():
        combinations = [{**c, key: v} for c in combinations for v in values]
    cells = [
        {"index": i, "label": str(c), "variant": v, "values": c, "figures": {"net_pnl_usd": i - 3.0, "trades": i}}
        for i, (v, c) in enumerate((v, c) for v in variants for c in combinations)
    ]
    return {
        "axes": [{"key": k, "values": v} for k, v in axes.items()], "variants": list(variants), "cells": cells,
        "best": None if best is None else {"index": best},
    }  # fmt: skip


def test_a_heatmap_has_a_row_and_a_column_for_each_value_green_where_it_won():
    first = heatmaps(grid({"a": [1, 2, 3], "b": [5, 6]}, best=5))[0]
    assert (first.down, first.across, first.columns) == ("a", "b", ("5", "6"))
    assert [[c.said for c in row] for _, row in first.rows] == [
        ["-3.00", "-2.00"], ["-1.00", "+0.00"], ["+1.00", "+2.00 ★"]
    ]  # fmt: skip
    assert [c.tone for c in first.rows[0][1]] == ["h-n4", "h-n3"]
    assert first.rows[2][1][1].tone == "h-3"


def test_one_axis_is_one_column_and_a_third_is_held_at_the_best_cell():
    assert heatmaps(grid({"a": [1, 2]}))[0].columns == ("",)
    three = heatmaps(grid({"a": [1, 2], "b": [1, 2], "c": [7, 8]}, best=7))[0]
    assert three.title == "P&L, USD after costs (c = 8)"
    assert [[c.said for c in row] for _, row in three.rows] == [["-2.00", "+0.00"], ["+2.00", "+4.00 ★"]]


def test_what_a_map_does_not_show_can_be_chosen_and_nonsense_leaves_the_best_cell():
    document = grid({"a": [1, 2], "b": [1, 2]}, variants=("baseline", "unhinged"), best=7)
    assert [(c.key, c.values, c.held) for c in choices(document)] == [("variant", ("baseline", "unhinged"), "unhinged")]
    chosen = {"variant": "baseline"}
    assert [c.held for c in choices(document, chosen)] == ["baseline"]
    other = heatmaps(document, chosen)[0]
    assert other.title == "P&L, USD after costs (variant = baseline)"
    assert (heatmaps(document)[0].has_best, other.has_best) == (True, False)
    assert [[c.said for c in row] for _, row in other.rows] == [["-3.00", "-2.00"], ["-1.00", "+0.00"]]
    assert heatmaps(document, {"variant": "nobody", "zz": "1"}) == heatmaps(document)
    assert choices(grid({"a": [1, 2]})) == []
    assert choices({"trades": []}) == []


def test_a_table_is_headed_by_words_and_not_by_its_key():
    tables = views({"curves": {"cells": [{"a": 1}]}, "posture": {"rows": [{"a": 1}]}, "by_reason": [{"a": 1}]})[
        "tables"
    ]
    assert [t.title for t in tables] == ["Curves: cells", "Posture", "By reason"]


def test_variants_are_an_axis_and_what_is_no_grid_has_no_map():
    assert heatmaps(grid({"a": [1, 2]}, variants=("baseline", "unhinged")))[0].across == "variant"
    assert heatmaps({"trades": []}) == []
    assert heatmaps({"axes": [{"key": "a"}], "variants": [], "cells": [{"figures": {}}]}) == []


def test_a_cell_that_failed_is_a_dash():
    document = grid({"a": [1, 2]})
    del document["cells"][0]["figures"]
    assert [row[1][0].said for row in heatmaps(document)[0].rows] == ["–", "-2.00"]


PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
DOCUMENTS = st.dictionaries(
    st.text(max_size=10),
    st.recursive(PLAIN, lambda c: st.lists(c, max_size=4) | st.dictionaries(st.text(max_size=8), c, max_size=4)),
)


@given(DOCUMENTS)
def test_any_document_can_be_shown(document):
    shown = views(document)
    assert all(len(row) == len(table.columns) for table in shown["tables"] for row in table.rows)


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.00012854321, "0.000128543"), (2.0, "2"), (64321.5, "64,321.5"), (0.0, "0"), (None, "–"), (float("nan"), "–"), (1e-9, "0.000000001")],
)  # fmt: skip
def test_a_price_has_six_digits_and_no_powers_of_ten(value, said):
    assert price(value) == said


def test_money_says_its_sign_in_words_and_colour_and_names_are_escaped():
    assert usd(-3.456) == '<span class="bad">−3.46</span>'
    assert usd(0.001) == '<span class="">+0.00</span>'
    assert "now" in ago(NOON, NOON)
    assert "in 10 min" in ago(NOON + timedelta(minutes=10), NOON)
    assert ago(None, NOON) == "never"


# --- comparisons and backtests ----------------------------------------------------------------------------------------

DAY_MS = 86_400_000


def compared(days: int, multiplier: float) -> dict:
    """Two sides with a trade a day, B's stop at `multiplier`; A wins and loses in turn, B a little more of both."""
    sides = [
        Side(
            name, "backtest", 0, days * DAY_MS,
            tuple(
                ComparedTrade("TST-USDT", day * DAY_MS, day * DAY_MS + 1, usd * (-1) ** (day // 2), 0.15, 1.5, "atr_trail")
                for day in range(days)
            ),
            {"hard_stop.multiplier": stop, "universe.size": 10},
        )
        for name, usd, stop in (("A<b>", 1.0, 1.5), ("B", 1.3, multiplier))
    ]  # fmt: skip
    return compare_sides(*sides)


def cells(shown: Report, title: str) -> dict[str, tuple[str, ...]]:
    (section,) = (s for s in shown.sections if s.title == title)
    return {row[0]: row[1:] for row in section.rows}


def test_a_comparison_shows_both_sides_the_difference_what_it_can_show_and_what_differs():
    document = compared(40, 2.5)
    shown = report("comparison", document)
    assert shown is not None
    assert shown.sentences == (document["verdict"]["sentence"], document["settings"]["sentence"])
    assert cells(shown, "Both sides")["trades"] == ("40 (1.0 a day)", "40 (1.0 a day)")
    assert re.fullmatch(r"[+-]?\$[\d.]+ \(-\$[\d.]+ to \+\$[\d.]+\)", cells(shown, "Difference")["a day"][1])
    assert cells(shown, "Differing keys") == {"hard_stop.multiplier": ("1.5", "2.5")}
    least = document["power"]["minimum_detectable_usd"]["value"]
    sure = cells(shown, "How sure")
    assert sure["smallest true difference that 40 days show, 4 times in 5"] == (f"${least:.3f} a day",)
    until = next(answer for question, answer in sure.items() if question.startswith("days until a verdict"))
    needed = document["power"]["days_needed"]
    assert until == ((f"{needed['value']:,.0f}",) if needed["value"] else (f"unknown: {needed['reason']}",))


def test_a_comparison_of_few_days_says_why_nothing_is_known():
    shown = report("comparison", compared(1, 1.5))
    assert shown is not None
    assert all(answer[0].startswith("unknown: ") for answer in cells(shown, "How sure").values())
    assert "Differing keys" not in [s.title for s in shown.sections]


@pytest.mark.parametrize("kind", ["comparison", "backtest"])
@pytest.mark.parametrize(
    "document", [{}, {"reports": []}, {"reports": [{"variant": "x"}]}, {"reports": 3}, {"a": None, "verdict": []}]
)
def test_a_document_of_another_make_is_shown_as_it_is(kind: str, document: dict):
    assert report(kind, document) is None
    assert report("grid", document) is None


# --- texts of people --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, with an ü and a 币", "plain, with an ü and a 币"),
        ("two\nlines", "two\nlines"),
        ("safe \u202egpj.exe", "safe \\u202egpj.exe"),
        ("bell\x07 escape\x1b[2J", "bell\\u0007 escape\\u001b[2J"),
        ("half a sign \ud800", "half a sign \\ud800"),
        ("nothing\u200bhere", "nothing\\u200bhere"),
        ("שלום 1", "\u2068שלום 1\u2069"),
        ("\u2069שלום", "\u2068\\u2069שלום\u2069"),
    ],
)
def test_what_cannot_be_seen_in_a_text_is_shown_by_its_code_and_what_runs_leftwards_is_isolated(text, shown):
    assert harmless(text) == shown


@given(st.text())
def test_no_text_turns_what_stands_beside_it_or_breaks_the_answer(text):
    shown = harmless(text)
    assert not TURNING & set(shown.removeprefix("\u2068").removesuffix("\u2069"))
    assert shown.count("\u2068") == shown.count("\u2069") <= 1
    shown.encode()
