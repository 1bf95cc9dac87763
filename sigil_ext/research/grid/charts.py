"""The charts of the grid page that need no choosing, as plain plotly figures; `var:NAME` is a colour of the theme.

Heatmaps are made in `grid_page.js`, where the reader picks the pair of axes. Start at `CHARTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import numpy as np

from sigil_ext.research.backtest_charts import OTHER_STYLES, VARIANT_STYLE

Document = Mapping[str, Any]
Figure = dict[str, Any]


def curves(document: Document) -> Figure | None:
    """Closed P&L added up at the end of each day: the best cell, the variants as they are, the middle of the field."""
    found = document["curves"]
    lines = [
        _line(found["at"], [0.0, *found["middle"]], "median of all cells", "slate", "dot", 1.5),
    ]
    for cell in found["cells"]:
        is_best = document["best"] is not None and cell["index"] == document["best"]["index"]
        variant = document["cells"][cell["index"]]["variant"]
        colour, _, _ = style_of(document, variant)
        name = "best cell" if is_best else f"{variant} as it is"
        shade, dash, width = ("ink", "solid", 2.5) if is_best else (colour, "dash", 1.8)
        lines.append(_line(found["at"], [0.0, *np.cumsum(cell["daily"])], name, shade, dash, width))
    layout = {
        "hovermode": "x unified",
        "xaxis": {"type": "date"},
        "yaxis": {"title": {"text": "closed P&L, USD"}, "tickformat": "$,~f", "zeroline": True},
    }
    return {"data": lines, "layout": layout | {"height": 360}}


def spread(document: Document) -> Figure | None:
    """How many cells made how much: the best cell is the end of this distribution, whatever it is."""
    pnl = [c["figures"]["net_pnl_usd"] for c in document["cells"] if c["problem"] is None]
    if len(pnl) < 3:
        return None
    trace = {
        "type": "histogram", "x": _rounded(pnl), "marker": {"color": "var:blue"}, "nbinsx": min(60, max(8, len(pnl) // 4)),
        "hovertemplate": "%{x}: %{y} cells<extra></extra>",
    }  # fmt: skip
    layout: dict[str, Any] = {
        "showlegend": False,
        "bargap": 0.04,
        "xaxis": {"title": {"text": "net P&L of a cell, USD"}, "tickformat": "$,~f"},
        "yaxis": {"title": {"text": "cells"}, "tickformat": ",d"},
        "shapes": [_upright(0.0, "grid-strong", "solid")],
        "annotations": [],
    }
    if document["best"] is not None:
        best = document["cells"][document["best"]["index"]]["figures"]["net_pnl_usd"]
        layout["shapes"].append(_upright(best, "vermillion", "dot"))
        layout["annotations"].append(
            {"x": best, "y": 1, "yref": "paper", "text": "best", "showarrow": False, "xanchor": "right", "yanchor": "bottom",
             "font": {"color": "var:bad"}}
        )  # fmt: skip
        layout["margin"] = {"l": 62, "r": 14, "t": 24, "b": 44}  # the word stands above the bars
    return {"data": [trace], "layout": layout | {"height": 300}}


def win_rates(document: Document) -> Figure | None:
    """Win rate had against the one needed, a dot a cell: above the line makes money."""
    traces: list[dict[str, Any]] = []
    both: list[float] = []
    for variant in document["variants"]:
        colour, symbol, _ = style_of(document, variant)
        cells = [
            c for c in document["cells"]
            if c["variant"] == variant and c["problem"] is None and c["figures"]["win_rate_needed"] is not None
        ]  # fmt: skip
        if not cells:
            continue
        x = [c["figures"]["win_rate_needed"] * 100 for c in cells]
        y = [c["figures"]["win_rate"] * 100 for c in cells]
        both += [*x, *y]
        traces.append({
            "type": "scattergl" if len(cells) > 2000 else "scatter", "mode": "markers", "name": escape(variant),
            "x": _rounded(x), "y": _rounded(y), "text": [escape(c["label"]) for c in cells],
            "marker": {"color": f"var:{colour}", "symbol": symbol, "size": 8, "opacity": 0.75},
            "hovertemplate": "%{text}: had %{y:.1f} %, needed %{x:.1f} %<extra></extra>",
        })  # fmt: skip
    if not traces:
        return None
    low, high = max(0.0, min(both) - 4), min(100.0, max(both) + 4)
    line = {
        "type": "scatter", "mode": "lines", "x": [low, high], "y": [low, high], "name": "break-even", "hoverinfo": "skip",
        "line": {"color": "var:muted", "width": 1.5, "dash": "dot"},
    }  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": "win rate needed, %"}, "range": [low, high]},
        "yaxis": {"title": {"text": "win rate had, %"}, "range": [low, high]},
    }
    return {"data": [line, *traces], "layout": layout | {"height": 300}}


def folds(document: Document) -> Figure | None:
    """What the cell chosen on the other folds made in each, against the middle of the field and the best there was."""
    known = [fold for fold in document["folds"] if fold["chosen"] is not None]
    if not known:
        return None
    names = [f"{fold['start'][5:10]} to {fold['finish'][5:10]}" for fold in known]
    bars = (
        ("chosen on the others", [fold["out"]["net_pnl_usd"] for fold in known], "blue"),
        ("median cell", [fold["median_out_usd"] for fold in known], "slate"),
        ("best in hindsight", [fold["best_out_usd"] for fold in known], "yellow"),
    )
    traces = [
        {"type": "bar", "name": name, "x": names, "y": _rounded(values), "marker": {"color": f"var:{colour}"},
         "hovertemplate": "%{x}, " + name + ": $%{y:,.2f}<extra></extra>"}
        for name, values, colour in bars
    ]  # fmt: skip
    layout = {
        "barmode": "group",
        "xaxis": {"type": "category"},
        "yaxis": {"title": {"text": "P&L out of sample, USD"}, "tickformat": "$,~f", "zeroline": True},
    }
    return {"data": traces, "layout": layout | {"height": 300}}


CHARTS: dict[str, tuple[str, Callable[[Document], Figure | None]]] = {
    "curves": ("Closed P&L, added up", curves),
    "spread": ("All cells by net P&L", spread),
    "win-rates": ("Win rate had and needed, a dot a cell", win_rates),
    "folds": ("Folds out of sample", folds),
}


def style_of(document: Document, variant: str) -> tuple[str, str, str]:
    """Return (colour, marker, dash) of a variant, the same as on every page."""
    others = [v for v in document["variants"] if v not in VARIANT_STYLE]
    known = VARIANT_STYLE.get(variant)
    return known or OTHER_STYLES[others.index(variant) % len(OTHER_STYLES)]


def _line(x: list[str], y: list[float], name: str, colour: str, dash: str, width: float) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "lines+markers" if len(x) <= 40 else "lines", "x": x, "y": _rounded(y),
        "name": escape(name), "line": {"color": f"var:{colour}", "dash": dash, "width": width}, "marker": {"size": 5},
        "hovertemplate": "$%{y:,.2f}",
    }  # fmt: skip


def _upright(x: float, colour: str, dash: str) -> dict[str, Any]:
    return {
        "type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper",
        "line": {"color": f"var:{colour}", "width": 1.5, "dash": dash},
    }  # fmt: skip


def _rounded(values: list[float]) -> list[float]:
    return [round(float(v), 4) for v in values]
