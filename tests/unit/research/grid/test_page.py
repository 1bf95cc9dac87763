"""The page of a grid: self-contained, escaped, whole with one cell, one axis, failed cells and no trade at all."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from sigil_ext.research.grid.page import render_page

Grid = Callable[..., dict[str, Any]]
EVIL = "<script>alert('x')</script><img src=x onerror=alert(1)>"
WAVES = [2.0 if n % 2 else -1.0 for n in range(20)]


def data_of(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_the_page_asks_nobody_for_anything(grid: Grid) -> None:
    html = render_page(grid(["baseline"], ["trail.multiplier=1,2"], lambda v, x: WAVES))
    assert "default-src 'none'" in html
    ours = re.sub(r"<script>/\*\*.*?</script>", "", html, flags=re.DOTALL)  # without plotly
    assert not re.search(r'src="|href="(?!data:)|@import|url\(', ours.replace("\\u003c", "<"))


def test_every_cell_is_in_the_data_with_its_place_on_each_axis(grid: Grid) -> None:
    axes = ["hard_stop.multiplier=2,1", "flat.after=4h,8h,12h"]
    data = data_of(render_page(grid(["baseline", "unhinged"], axes, lambda v, x: [x["hard_stop.multiplier"]] * 20)))[
        "grid"
    ]
    assert [d["key"] for d in data["dims"]] == ["hard_stop.multiplier", "flat.after", "variant"]
    assert data["dims"][0]["values"] == ["1", "2"]  # by size, not as typed
    assert len(data["at"][0]) == 12
    for at, pnl in zip(data["at"][0], data["figures"]["net_pnl_usd"], strict=True):
        assert pnl == (20, 40)[at]
    assert data["best"] in range(12)


@pytest.mark.parametrize(
    ("variants", "axes"),
    [(["baseline"], []), (["baseline", "legacy"], []), (["baseline"], ["trail.multiplier=1"]), (["baseline"], ["trail.multiplier=1,2"])],
)  # fmt: skip
@pytest.mark.parametrize("worth", [WAVES, []], ids=["trades", "no trade"])
def test_a_page_is_whole_whatever_the_grid(
    grid: Grid, variants: list[str], axes: list[str], worth: list[float]
) -> None:
    html = render_page(grid(variants, axes, lambda v, x: worth, folds=2))
    assert html.endswith("</body></html>")
    if not worth:
        assert "No cell closed enough trades to be called the best one." in html


def test_what_the_column_of_exits_means_is_said_and_one_cell_is_not_called_cells(grid: Grid) -> None:
    document = grid(["baseline"], [], lambda v, x: WAVES)
    html = render_page(document)
    assert document["title"] == "baseline: 1 cell"
    assert "+1: one that ended otherwise" in html
    assert re.search(r"· 1 symbol · 1 cell ·", html)


def test_a_curve_begins_with_nothing_and_has_what_a_day_made_at_its_end(grid: Grid) -> None:
    lines = data_of(render_page(grid(["baseline"], [], lambda v, x: WAVES)))["figures"]["curves"]["data"]
    assert len(lines) == 2
    for line in lines:
        assert (line["x"][:2], line["y"][:2]) == (["2025-06-16T00:00:00Z", "2025-06-17T00:00:00Z"], [0.0, WAVES[0]])
        assert (line["x"][-1], line["y"][-1]) == ("2025-07-06T00:00:00Z", sum(WAVES))


def test_a_cell_with_the_trades_of_another_is_marked_as_in_the_terminal(grid: Grid) -> None:
    axes = ["hard_stop.multiplier=1,2,3"]
    html = render_page(grid(["baseline"], axes, lambda v, x: WAVES if x["hard_stop.multiplier"] < 3 else WAVES[:-1]))
    assert data_of(html)["grid"]["same"] == {"1": "baseline hard_stop.multiplier=1"}
    assert "(same): the trades are exactly those of another cell. R: " in html
    assert "(same):" not in render_page(grid(["baseline"], [], lambda v, x: WAVES))


def test_failed_cells_are_listed_with_their_reason(grid: Grid) -> None:
    html = render_page(grid(["baseline"], ["entry.rsi_min=40,70", "entry.rsi_max=60,80"], lambda v, x: WAVES))
    assert "1 cells without a result" in html or "1 cell without a result" in html
    assert "entry.rsi_min (70) must not exceed entry.rsi_max (60)" in html


def test_the_evidence_stands_before_everything_else(grid: Grid) -> None:
    html = render_page(
        grid(["baseline"], ["trail.multiplier=1,2,3"], lambda v, x: [w * x["trail.multiplier"] for w in WAVES])
    )
    assert (
        html.index("Best by net P&amp;L in USD" if "Best by net P&amp;L" in html else "Best by net P")
        < html.index("Probability of backtest overfitting")
        < html.index("Over the axes")
    )


def test_whatever_stands_in_a_document_is_escaped(grid: Grid) -> None:
    document = grid(["baseline"], ["entry.rsi_min=40,70", "entry.rsi_max=60,80"], lambda v, x: WAVES, folds=2)
    poisoned = json.loads(json.dumps(document).replace("baseline", EVIL.replace('"', "'")).replace("TST-USDT", EVIL))
    poisoned["notes"] = [EVIL]
    poisoned["cells"][2]["problem"] = EVIL
    html = render_page(poisoned)
    assert EVIL not in html
    assert "onerror=alert(1)>" not in html.replace("&gt;", "")
