"""The page: self-contained, escaped, whole with and without trades, written in one step or refused in a sentence."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigil_ext.bridge.simulate import StrategyRun
from sigil_ext.errors import UsageError
from sigil_ext.research.backtest_charts import DETAIL, OVERVIEW, REASON_STYLE, VARIANT_STYLE, thinned
from sigil_ext.research.backtest_format import shown
from sigil_ext.research.backtest_page import render_page
from sigil_ext.research.backtest_report import build_report
from sigil_ext.rules.types import EXIT_REASONS
from sigil_ext.settings.files import write_whole
from sigil_ext.settings.overlays import load_variant

EVIL = "<script>alert('x')</script><img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """Collects tags, attributes, the text that people see, and the scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.styles = self.text = ""
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside == "style":
            self.styles += data
        else:
            self.text += data

    @property
    def data(self):
        return json.loads(self.scripts[0])


@pytest.fixture
def page(report) -> Page:
    return Page(render_page([report]))


def test_the_page_asks_nobody_for_anything(page):
    for tag, attributes in page.tags:
        assert "src" not in attributes, tag
        assert attributes.get("href", "data:,") == "data:,", tag
    ours = page.styles + page.scripts[0] + page.scripts[2] + page.text
    assert not re.search(r"https?://|@import|url\(|fetch\(|XMLHttpRequest|WebSocket", ours)
    policy = next(
        a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_the_page_holds_plotly_once_data_and_its_own_script_and_no_more(page):
    assert len(page.scripts) == 3
    assert len(page.scripts[1]) > 1_000_000


def test_every_chart_on_the_page_has_a_figure_and_every_figure_a_place(page):
    places = {a["data-chart"] for _, a in page.tags if "data-chart" in a}
    assert places == page.data["figures"].keys()
    assert len(places) == len(OVERVIEW) + len(DETAIL)


def test_all_trades_stand_in_the_page_unrounded(page, report):
    table = page.data["trades"]["0"]
    keys = [column["key"] for column in table["columns"]]
    assert [row[keys.index("pnl_usd")] for row in table["rows"]] == [t["pnl_usd"] for t in report["trades"]]


def test_figures_of_the_report_are_readable(page):
    for text in (
        "−$2.00",
        "40.0 %",
        "60.0 %",
        "hard_stop",
        "TOTAL",
        "not_in_universe",
        "costs.fee_pct",
        "overlays/base.yaml",
    ):
        assert text in page.text or text in page.scripts[0]


def test_what_a_user_supplies_is_never_markup(report):
    report["notes"].append(EVIL)
    report["variant"] = report["trades"][0]["symbol"] = EVIL
    report["config"]["entry.rsi_min"] = EVIL
    report["by_exit_reason"][EVIL] = report["by_exit_reason"].pop("hard_stop")
    report["by_symbol"][EVIL] = report["by_symbol"].pop("TST-USDT")
    report["trades"][1]["exit_reason"] = EVIL
    html = render_page([report, report], title=EVIL)
    page = Page(html)
    assert len(page.scripts) == 3
    assert not any(tag == "img" for tag, _ in page.tags)
    assert EVIL in page.text
    assert "<script>alert" not in html
    assert page.data["trades"]["0"]["rows"][0][0] == EVIL  # written by textContent
    assert "<script" not in json.dumps(page.data["figures"])  # plotly reads HTML in names


def test_a_run_without_trades_makes_a_page_that_says_so(empty_report):
    page = Page(render_page([empty_report]))
    assert "No position was opened in this period." in page.text
    assert "all-equity" in page.data["figures"]
    assert "0-by-day" not in page.data["figures"]


def test_several_runs_stand_side_by_side_with_a_tab_each(run, trade):
    names = ("baseline", "aggressive", "legacy")
    page = Page(render_page([build_report(run([trade(1.0)], label=v), load_variant(v)) for v in names]))
    assert [a["aria-controls"] for t, a in page.tags if a.get("role") == "tab"] == ["run-0", "run-1", "run-2"]
    assert "hard_stop.multiplier" in page.text
    lines = [t for t in page.data["figures"]["all-equity"]["data"] if t.get("yaxis") != "y2"]
    assert [line["name"] for line in lines] == list(names)
    assert len({line["line"]["color"] for line in lines}) == 3


def test_a_foreign_strategy_has_a_page_too(run, trade):
    foreign = trade(1.0, "strategy", stop_pct=None, risk_usd=None, mae_r=None, mfe_r=None, hard_stop_price=None,
                    stop_price=None, high_water=None, universe_id=None, signal={})  # fmt: skip
    report = build_report(run([foreign], label="Theirs"), StrategyRun("somewhere:Theirs", "15m", 1000.0, 0.001))
    page = Page(render_page([report]))
    assert "that of closed trades" in page.text
    assert "0-mae-mfe" not in page.data["figures"]


def test_no_run_at_all_is_a_page_too():
    assert "No run, nothing to show." in render_page([])


def test_every_exit_reason_and_every_known_variant_has_a_look_of_its_own():
    assert set(EXIT_REASONS) <= REASON_STYLE.keys()
    assert len(set(REASON_STYLE.values())) == len(REASON_STYLE)
    assert len({colour for colour, _, _ in VARIANT_STYLE.values()}) == len(VARIANT_STYLE)


def test_the_page_is_written_whole_with_its_folders_and_replaces_an_older_one(tmp_path, report):
    path = tmp_path / "new" / "folder" / "page.html"
    write_whole(path, render_page([report]), "the page")
    first = path.read_text(encoding="utf-8")
    assert first.startswith("<!doctype html>")
    assert first.rstrip().endswith("</html>")
    write_whole(path, render_page([report], title="again"), "the page")
    assert "<title>again</title>" in path.read_text(encoding="utf-8")
    assert [p.name for p in path.parent.iterdir()] == ["page.html"]


def test_a_page_that_cannot_be_written_is_one_sentence_of_wrong_use(tmp_path, report):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "page.html", tmp_path / "folder"):
        with pytest.raises(UsageError, match=r"cannot write the page to .*; name another file") as caught:
            write_whole(path, render_page([report]), "the page")
        assert caught.value.exit_status == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_a_long_curve_is_thinned_and_keeps_its_ends_top_and_bottom():
    curve = np.sin(np.arange(40_000) / 300)
    curve[12_345], curve[23_456] = 5.0, -5.0
    kept = thinned(curve)
    assert len(kept) <= 5000
    assert {0, 12_345, 23_456, 39_999} <= set(kept.tolist())
    assert (np.diff(kept) > 0).all()


def test_a_short_curve_is_left_as_it_is():
    assert thinned(np.zeros(5000)).tolist() == list(range(5000))


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300), st.integers(20, 60))
def test_thinning_never_loses_the_extremes(values, most):
    curve = np.array(values)
    kept = curve[thinned(curve, -curve, most=most)]
    assert len(kept) <= max(most, 2)
    assert (kept.min(), kept.max()) == (curve.min(), curve.max())


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (None, "usd", "n/a"), (-3.456, "signed_usd", "-$3.46"), (1234.5, "signed_usd", "+$1,234.50"),
        (-0.001, "signed_usd", "$0.00"), (0.0, "signed_pct", "0.00 %"), (0.425, "share", "42.5 %"),
        (45.0, "duration", "45m"), (587.0, "duration", "9h 47m"),
        (1500.0, "duration", "1d 01h"), (-0.333, "signed_r", "-0.33 R"), (12345, "count", "12,345"), (-5.0, "usd", "-$5.00"),
    ],
)  # fmt: skip
def test_figures_are_written_for_people(value, kind, text):
    assert shown(value, kind) == text
