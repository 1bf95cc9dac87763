"""The charts of the backtest page as plain plotly figures: traces and layout, no plotly imported.

A colour is written `var:NAME` and resolved by the page to its CSS variable `--NAME`, so that a chart follows the light or
dark theme. Names shown by plotly are escaped here, because plotly reads some HTML in them. Start at `OVERVIEW` and `DETAIL`,
the charts of all runs together and of one run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from html import escape
from itertools import pairwise
from typing import Any

import numpy as np

from sigil_ext.research.backtest_format import shown
from sigil_ext.research.backtest_report import refused_lines
from sigil_ext.rules.equity import drawdown_pct

Report = Mapping[str, Any]
Figure = dict[str, Any]

MOST_POINTS = 5000
MOST_SYMBOLS = 15

# Okabe and Ito's palette, told apart by colour-blind readers too; variants and exit reasons share no colour.
VARIANT_STYLE: dict[str, tuple[str, str, str]] = {
    "baseline": ("blue", "circle", "solid"),
    "moderate": ("green", "square", "solid"),
    "aggressive": ("orange", "diamond", "solid"),
    "unhinged": ("purple", "triangle-up", "solid"),
    "legacy": ("strong", "x", "dash"),
}
OTHER_STYLES = (
    ("blue", "circle", "dot"), ("green", "square", "dot"), ("orange", "diamond", "dot"),
    ("purple", "triangle-up", "dot"), ("strong", "cross", "dot"),
)  # fmt: skip
REASON_STYLE: dict[str, tuple[str, str]] = {
    "hard_stop": ("vermillion", "x"),
    "atr_trail": ("sky", "triangle-up"),
    "flat_no_move": ("slate", "square"),
    "session_end": ("yellow", "diamond"),
    "manual": ("ink", "star"),
    "kill_switch": ("ink", "cross"),
    "adopted_close": ("ink", "hexagram"),
    "strategy": ("sky", "circle"),
}
OTHER_REASON = ("ink", "circle")


def equity_and_drawdown(reports: Sequence[Report]) -> Figure | None:
    """Equity of every run above its fall from the peak so far; in USD, or in percent where the starts differ."""
    starts = {r["totals"]["starting_balance"] for r in reports}
    in_usd = len(starts) == 1
    traces: list[dict[str, Any]] = []
    for report, (colour, symbol, dash) in zip(reports, variant_styles(reports), strict=True):
        times, usd = _curve(report)
        fall = -drawdown_pct(usd)
        value = usd if in_usd else (usd / report["totals"]["starting_balance"] - 1) * 100
        name = escape(report["variant"])
        kept = thinned(value, fall)
        line = {"color": f"var:{colour}", "width": 2, "dash": dash}
        shared = {
            "type": "scatter", "x": times[kept].tolist(), "name": name, "legendgroup": name, "line": line,
            "mode": "lines+markers", "marker": {"symbol": symbol, "size": 7, "color": f"var:{colour}", "maxdisplayed": 9},
        }  # fmt: skip
        unit = "$%{y:,.2f}" if in_usd else "%{y:+.2f} %"
        traces.append(shared | {"y": _rounded(value[kept]), "hovertemplate": unit})
        traces.append(
            shared
            | {"y": _rounded(fall[kept]), "yaxis": "y2", "showlegend": False, "mode": "lines"}
            | {"hovertemplate": "%{y:.2f} %"}
        )
    title = "equity, USD" if in_usd else "equity, % of start"
    layout = {
        "hovermode": "x unified",
        "xaxis": {"type": "date", "anchor": "y2"},
        "yaxis": {"title": {"text": title}, "domain": [0.42, 1], "tickformat": "$,~f" if in_usd else "~f"},
        "yaxis2": {"title": {"text": "drawdown, %"}, "domain": [0, 0.36], "rangemode": "tozero"},
    }
    return _figure(traces, layout, height=520)


def exit_shares(reports: Sequence[Report]) -> Figure | None:
    """Share of each exit reason, one bar a run."""
    traces = []
    for reason in reasons_of(reports):
        lines = [r["by_exit_reason"].get(reason) for r in reports]
        shares = [line["share"] * 100 if line else 0 for line in lines]
        colour, _ = REASON_STYLE.get(reason, OTHER_REASON)
        traces.append({
            "type": "bar", "orientation": "h", "name": escape(reason), "y": _names(reports), "x": shares,
            "text": [f"{s:.0f} %" if s >= 9 else "" for s in shares], "textposition": "inside", "textangle": 0,
            "insidetextanchor": "middle", "textfont": {"color": "var:on-bar"},
            "customdata": [line["count"] if line else 0 for line in lines],
            "hovertemplate": "%{y}, " + escape(reason) + ": %{customdata} (%{x:.1f} %)<extra></extra>",
            "marker": {"color": f"var:{colour}", "line": {"color": "var:surface", "width": 2}},
        })  # fmt: skip
    layout = {
        "barmode": "stack",
        "xaxis": {"range": [0, 100.5], "dtick": 25, "ticksuffix": " %", "fixedrange": True},
        "yaxis": {"autorange": "reversed", "automargin": True, "fixedrange": True, "type": "category"},
    }
    return _figure(traces, layout, height=_row_height(reports))


def exit_pnl(reports: Sequence[Report]) -> Figure | None:
    """P&L of each exit reason, bars side by side for each run."""
    traces = []
    for reason in reasons_of(reports):
        lines = [r["by_exit_reason"].get(reason) for r in reports]
        colour, _ = REASON_STYLE.get(reason, OTHER_REASON)
        traces.append({
            "type": "bar", "orientation": "h", "name": escape(reason), "y": _names(reports),
            "x": [round(line["pnl_usd"], 4) if line else None for line in lines],
            "customdata": [shown(line["pnl_usd"], "signed_usd") if line else "" for line in lines],
            "hovertemplate": "%{y}, " + escape(reason) + ": %{customdata}<extra></extra>",
            "marker": {"color": f"var:{colour}"},
        })  # fmt: skip
    layout = {
        "barmode": "group",
        "xaxis": {"title": {"text": "P&L, USD"}, "tickformat": "$,~f", "zeroline": True, "fixedrange": True},
        "yaxis": {"autorange": "reversed", "automargin": True, "fixedrange": True, "type": "category"},
    }
    return _figure(traces, layout, height=_row_height(reports))


def win_rates(reports: Sequence[Report]) -> Figure | None:
    """Win rate had against the one needed to break even at this payoff."""
    known = [r for r in reports if r["totals"]["win_rate"] is not None and r["totals"]["win_rate_needed"] is not None]
    if not known:
        return None
    had = [r["totals"]["win_rate"] * 100 for r in known]
    needed = [r["totals"]["win_rate_needed"] * 100 for r in known]
    names = _names(known)
    gap_x = [x for pair in zip(had, needed, strict=True) for x in (*pair, None)]
    gap_y = [y for name in names for y in (name, name, None)]
    traces: list[dict[str, Any]] = [
        {"type": "scatter", "mode": "lines", "x": gap_x, "y": gap_y, "line": {"color": "var:grid-strong", "width": 4},
         "hoverinfo": "skip", "showlegend": False},
        {"type": "scatter", "mode": "markers", "name": "had", "x": had, "y": names,
         "marker": {"symbol": "circle", "size": 13, "color": "var:blue"},
         "hovertemplate": "%{y}: had %{x:.1f} %<extra></extra>"},
        {"type": "scatter", "mode": "markers", "name": "needed", "x": needed, "y": names,
         "marker": {"symbol": "diamond-open", "size": 13, "color": "var:vermillion", "line": {"width": 3}},
         "hovertemplate": "%{y}: needed %{x:.1f} %<extra></extra>"},
    ]  # fmt: skip
    layout = {
        "xaxis": {"range": [0, 100.5], "dtick": 25, "ticksuffix": " %", "fixedrange": True},
        "yaxis": {"autorange": "reversed", "automargin": True, "fixedrange": True, "type": "category"},
    }
    return _figure(traces, layout, height=_row_height(reports))


def pnl_by_time(report: Report) -> Figure | None:
    """Every trade's P&L at the time of its close."""
    traces = _by_reason(report, "closed_at", "pnl_usd", "$%{y:,.2f}")
    layout = {
        "xaxis": {"type": "date"},
        "yaxis": {"title": {"text": "P&L a trade, USD"}, "tickformat": "$,~f", "zeroline": True},
    }
    return _figure(traces, layout, height=380)


def mae_against_mfe(report: Report) -> Figure | None:
    """How far each trade went against its entry and for it, in R."""
    traces = _by_reason(report, "mae_r", "mfe_r", "MAE %{x:.2f} R, MFE %{y:.2f} R, $%{customdata[1]:.2f}")
    worst = max((t["mae_r"] for t in report["trades"] if t["mae_r"] is not None), default=0)
    layout = {
        "xaxis": {"title": {"text": "MAE, R (1 = hard stop)"}, "range": [-0.05, max(1.15, worst * 1.05)]},
        "yaxis": {"title": {"text": "MFE, R"}, "rangemode": "tozero"},
        "shapes": [
            {"type": "line", "xref": "x", "yref": "paper", "x0": 1, "x1": 1, "y0": 0, "y1": 1}
            | {"line": {"color": "var:muted", "width": 1, "dash": "dot"}}
        ],
    }
    return _figure(traces, layout, height=380)


def by_day(report: Report) -> Figure | None:
    """P&L of each day, by time of close."""
    lines = report["by_day"]
    return _bars([line["day"] for line in lines], lines, {"type": "date"}) if report["trades"] else None


def by_hour(report: Report) -> Figure | None:
    """P&L by the hour of the day of the entry."""
    lines = report["by_hour"]
    axis = {"title": {"text": "hour of the entry, UTC"}, "dtick": 3, "range": [-0.6, 23.6]}
    return _bars([line["hour"] for line in lines], lines, axis) if report["trades"] else None


def by_symbol(report: Report) -> Figure | None:
    """P&L of the best and the worst symbols."""
    items = list(report["by_symbol"].items())
    if len(items) > 2 * MOST_SYMBOLS:
        items = items[:MOST_SYMBOLS] + items[-MOST_SYMBOLS:]
    if not items:
        return None
    pnl = [line["pnl_usd"] for _, line in items]
    trace = {
        "type": "bar", "orientation": "h", "y": [escape(symbol) for symbol, _ in items], "x": _rounded(pnl),
        "marker": {"color": [_sign_colour(p) for p in pnl]},
        "customdata": [_line_text(line) for _, line in items], "hovertemplate": "%{y}: %{customdata}<extra></extra>",
    }  # fmt: skip
    layout = {
        "showlegend": False,
        "xaxis": {"title": {"text": "P&L, USD"}, "tickformat": "$,~f", "zeroline": True, "fixedrange": True},
        "yaxis": {"autorange": "reversed", "automargin": True, "fixedrange": True, "type": "category", "dtick": 1},
    }
    return _figure([trace], layout, height=90 + 19 * len(items))


def refused(report: Report) -> Figure | None:
    """Entry signals refused, by reason."""
    items = [line for line in refused_lines(report) if line[1]]
    if not items:
        return None
    trace = {
        "type": "bar", "orientation": "h", "y": [escape(reason) for reason, _, _ in items],
        "x": [n for _, n, _ in items], "text": [f"{n:,d}" for _, n, _ in items], "textposition": "outside",
        "cliponaxis": False, "marker": {"color": ["var:grid-strong" if b is None else "var:slate" for _, _, b in items]},
        "customdata": ["" if bars is None else f"; guard shut at {bars:,d} bars" for _, _, bars in items],
        "hovertemplate": "%{y}: %{x:,d} signals%{customdata}<extra></extra>",
    }  # fmt: skip
    layout = {
        "showlegend": False,
        "xaxis": {
            "title": {"text": "signals"},
            "fixedrange": True,
            "range": [0, max(n for _, n, _ in items) * 1.15],
            "tickformat": ",d",
        },
        "yaxis": {"autorange": "reversed", "automargin": True, "fixedrange": True, "type": "category"},
    }
    return _figure([trace], layout, height=110 + 30 * len(items))


OVERVIEW: dict[str, tuple[str, Callable[[Sequence[Report]], Figure | None]]] = {
    "equity": ("Equity and drawdown", equity_and_drawdown),
    "win-rates": ("Win rate had and needed", win_rates),
    "exit-shares": ("Exits by reason, share", exit_shares),
    "exit-pnl": ("Exits by reason, P&L", exit_pnl),
}
DETAIL: dict[str, tuple[str, Callable[[Report], Figure | None]]] = {
    "pnl-by-time": ("Every trade", pnl_by_time),
    "mae-mfe": ("Against and for the entry", mae_against_mfe),
    "by-day": ("P&L by day of the close (UTC)", by_day),
    "by-hour": ("P&L by hour of the entry", by_hour),
    "by-symbol": ("P&L by symbol", by_symbol),
    "refused": ("Refused entry signals", refused),
}


# --- parts --------------------------------------------------------------------------------------------------------


def variant_styles(reports: Sequence[Report]) -> list[tuple[str, str, str]]:
    """Return (colour, marker, dash) of every run; a known variant's is always the same."""
    others = iter(OTHER_STYLES * len(reports))
    return [VARIANT_STYLE.get(r["variant"]) or next(others) for r in reports]


def reasons_of(reports: Sequence[Report]) -> list[str]:
    """Return the exit reasons that occur, in the order of `REASON_STYLE`, unknown ones last."""
    found = {reason for r in reports for reason in r["by_exit_reason"]}
    return [r for r in REASON_STYLE if r in found] + sorted(found - REASON_STYLE.keys())


def thinned(*curves: np.ndarray[Any, Any], most: int = MOST_POINTS) -> np.ndarray[Any, Any]:
    """Return the indices of at most `most` points that keep the ends, and highest and lowest of every stretch.

    Args:
        curves: arrays of one length; the extremes of each are kept.
    """
    count = len(curves[0])
    if count <= most:
        return np.arange(count)
    kept = {0, count - 1}
    edges = np.linspace(0, count, (most - 2) // (2 * len(curves)) + 1).astype(int)
    for first, last in pairwise(edges):
        for curve in curves:
            kept |= {first + int(curve[first:last].argmin()), first + int(curve[first:last].argmax())}
    return np.array(sorted(kept))


def _curve(report: Report) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    equity = report["equity"]
    times = [report["start"], *equity["times"]]
    usd = [report["totals"]["starting_balance"], *equity["usd"]]
    ms = [int(datetime.fromisoformat(t).timestamp() * 1000) for t in times]
    return np.array(ms, dtype=np.int64), np.array(usd, dtype=np.float64)


def _by_reason(report: Report, x: str, y: str, text: str) -> list[dict[str, Any]]:
    traces = []
    for reason in reasons_of([report]):
        trades = [t for t in report["trades"] if t["exit_reason"] == reason and t[x] is not None and t[y] is not None]
        if not trades:
            continue
        colour, symbol = REASON_STYLE.get(reason, OTHER_REASON)
        traces.append({
            "type": "scatter", "mode": "markers", "name": escape(reason),
            "x": [t[x] if isinstance(t[x], str) else round(t[x], 4) for t in trades],
            "y": _rounded([t[y] for t in trades]),
            "customdata": [[escape(t["symbol"]), round(t["pnl_usd"], 4)] for t in trades],
            "hovertemplate": "%{customdata[0]}: " + text + "<extra>" + escape(reason) + "</extra>",
            "cliponaxis": False, "marker": {"symbol": symbol, "size": 10, "color": f"var:{colour}", "opacity": 0.85,
                       "line": {"width": 0.5, "color": "var:surface"}},
        })  # fmt: skip
    return traces


def _bars(x: Sequence[Any], lines: Sequence[Mapping[str, Any]], axis: dict[str, Any]) -> Figure | None:
    pnl = [line["pnl_usd"] for line in lines]
    trace = {
        "type": "bar", "x": list(x), "y": _rounded(pnl), "marker": {"color": [_sign_colour(p) for p in pnl]},
        "customdata": [_line_text(line) for line in lines], "hovertemplate": "%{x}: %{customdata}<extra></extra>",
    }  # fmt: skip
    layout = {
        "showlegend": False,
        "xaxis": axis,
        "yaxis": {"title": {"text": "P&L, USD"}, "tickformat": "$,~f", "zeroline": True},
    }
    return _figure([trace], layout, height=300)


def _figure(traces: list[dict[str, Any]], layout: dict[str, Any], height: int) -> Figure | None:
    return {"data": traces, "layout": layout | {"height": height}} if traces else None


def _row_height(reports: Sequence[Report]) -> int:
    return 130 + 44 * len(reports)


def _line_text(line: Mapping[str, Any]) -> str:
    trades = "1 trade" if line["count"] == 1 else f"{line['count']:,d} trades"
    return f"{shown(line['pnl_usd'], 'signed_usd')}, {trades}, {line['wins']} won, {line['hard_stops']} hard stops"


def _sign_colour(value: float) -> str:
    return "var:vermillion" if value < 0 else "var:sky"


def _names(reports: Sequence[Report]) -> list[str]:
    return [escape(r["variant"]) for r in reports]


def _rounded(values: Any) -> list[float]:
    return [round(float(v), 4) for v in values]
