"""The charts of a diagnosis as plain plotly figures; colours as in `backtest_charts.py`. Start at `OVERVIEW` and `DETAIL`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from sigil_ext.research.backtest_charts import variant_styles
from sigil_ext.research.backtest_format import counted

Run = Mapping[str, Any]
Figure = dict[str, Any]

FAMILIES = {
    "fixed": ("fixed percent", "blue", "circle"),
    "clamped": ("ATRs within floor and cap", "orange", "diamond"),
    "free": ("ATRs, no floor, no cap", "green", "square"),
}


def styles(runs: Sequence[Run]) -> list[tuple[str, str, str]]:
    """Return (colour, marker, dash) of every run."""
    return variant_styles([{"variant": r["name"]} for r in runs])


def parts_of_all(runs: Sequence[Run]) -> Figure:
    """Every part of every run, side by side."""
    names = list(dict.fromkeys(p["name"] for r in runs for p in r["parts"]["parts"]))
    traces = []
    for run, (colour, _, _) in zip(runs, styles(runs), strict=True):
        found = {p["name"]: p["usd"] for p in run["parts"]["parts"]}
        traces.append({
            "type": "bar", "name": escape(run["name"]), "x": [n.replace("_", " ") for n in names],
            "y": [_r(found.get(n)) for n in names], "marker": {"color": f"var:{colour}"},
            "hovertemplate": escape(run["name"]) + ", %{x}: $%{y:,.2f}<extra></extra>",
        })  # fmt: skip
    return _figure(traces, {"barmode": "group", "yaxis": _usd("P&L, USD"), "xaxis": {"type": "category"}}, 380)


def noise_of_all(runs: Sequence[Run]) -> Figure | None:
    """Share of random and of own entries that touch the stop, with the band of chance."""
    known = [r for r in runs if r["noise"]["random"] is not None]
    if not known:
        return None
    names = [escape(r["name"]) for r in known]
    low, middle, high = ([_pct(r["noise"][key]) for r in known] for key in ("low", "random", "high"))
    traces = [
        {"type": "scatter", "mode": "markers", "name": "random entries, 95 % of draws", "x": middle, "y": names,
         "error_x": {"type": "data", "symmetric": False, "array": [h - m for h, m in zip(high, middle, strict=True)],
                     "arrayminus": [m - w for w, m in zip(low, middle, strict=True)], "color": "var:slate"},
         "marker": {"symbol": "line-ns-open", "size": 14, "color": "var:slate", "line": {"width": 3}},
         "hovertemplate": "%{y}: random %{x:.1f} %<extra></extra>"},
        {"type": "scatter", "mode": "markers", "name": "own entries", "x": [_pct(r["noise"]["own"]) for r in known], "y": names,
         "marker": {"symbol": "circle", "size": 12, "color": "var:blue"},
         "hovertemplate": "%{y}: own %{x:.1f} %<extra></extra>"},
        {"type": "scatter", "mode": "markers", "name": "ended at the hard stop", "y": names,
         "x": [_pct(r["hard_stops"]["share"]) for r in known],
         "marker": {"symbol": "x", "size": 11, "color": "var:vermillion"},
         "hovertemplate": "%{y}: hard stops %{x:.1f} %<extra></extra>"},
    ]  # fmt: skip
    layout = {
        "xaxis": {"ticksuffix": " %", "rangemode": "tozero"},
        "yaxis": {"autorange": "reversed", "type": "category"},
    }
    return _figure(traces, layout, 150 + 44 * len(known))


def parts(run: Run) -> Figure:
    """From nothing to the net result, a part at a time."""
    found = [p for p in run["parts"]["parts"] if p["usd"] is not None]
    trace = {
        "type": "waterfall", "x": [*(p["name"].replace("_", " ") for p in found), "net"],
        "measure": [*("relative" for _ in found), "total"], "y": [*(_r(p["usd"]) for p in found), _r(run["net_usd"])],
        "hovertemplate": "%{x}: $%{y:,.2f}<extra></extra>", "text": [*(f"{p['usd']:+,.0f}" for p in found), f"{run['net_usd']:+,.0f}"],
        "textposition": "outside", "connector": {"line": {"color": "var:grid-strong", "width": 1}},
        "increasing": {"marker": {"color": "var:sky"}}, "decreasing": {"marker": {"color": "var:vermillion"}},
        "totals": {"marker": {"color": "var:slate"}}, "cliponaxis": False,
    }  # fmt: skip
    return _figure(
        [trace], {"yaxis": _usd("running P&L, USD"), "xaxis": {"type": "category"}, "showlegend": False}, 380
    )


def noise_by_pct(run: Run) -> Figure | None:
    """Share of entries a stop would be touched by, over its width in percent."""
    return _noise(run, "pct", "width of the stop, %", run["distance"]["stop_pct"]["median"])


def noise_by_atr(run: Run) -> Figure | None:
    """The same over the width in ATRs, each entry measured in its own."""
    return _noise(run, "atr", "width of the stop, ATRs at the entry", run["distance"]["stop_atr"]["median"])


def distance(run: Run) -> Figure | None:
    """How many ATRs away the stops stood."""
    values = [v for v in run["distance"]["histogram"] if v is not None]
    if not values:
        return None
    trace = {"type": "histogram", "x": [_r(min(v, 12.0)) for v in values], "xbins": {"start": 0, "size": 0.25},
             "marker": {"color": "var:blue"}, "hovertemplate": "%{x} ATRs: %{y}<extra></extra>"}  # fmt: skip
    return _figure(
        [trace], {"xaxis": {"title": {"text": "stop, ATRs at entry"}}, "yaxis": {"title": {"text": "positions"}}}, 320
    )


def falls(run: Run) -> Figure | None:
    """Deepest fall while held, of positions that were hard-stopped and of the others."""
    found = run["excursions"]
    traces = [
        {"type": "histogram", "name": name, "x": [_r(v) for v in found[key]], "xbins": {"start": 0, "size": 0.25},
         "marker": {"color": f"var:{colour}"}, "opacity": 0.75, "hovertemplate": name + ", %{x} %: %{y}<extra></extra>"}
        for key, name, colour in (("others_pct", "not hard-stopped", "sky"), ("stopped_pct", "hard-stopped", "vermillion"))
        if found[key]
    ]  # fmt: skip
    layout = {
        "barmode": "overlay",
        "xaxis": {"title": {"text": "deepest fall while held, %"}},
        "yaxis": {"title": {"text": "positions"}},
    }
    return _figure(traces, layout, 320) if traces else None


def ladder_net(run: Run) -> Figure | None:
    """What the same entries make under other stops, trail as set."""
    return _ladder(run["ladder"], "net_usd", _usd("net P&L, USD"), "$%{y:,.2f}")


def ladder_r(run: Run) -> Figure | None:
    """The same by unit of risk: what counts where the size follows the stop."""
    return _ladder(run["ladder"], "mean_r", {"title": {"text": "mean result, R"}}, "%{y:.3f} R")


def ladder_won(run: Run) -> Figure | None:
    """Win rate had less win rate needed, over the width of the stop."""
    lines = [line | {"gap": _gap(line)} for line in run["ladder"]]
    return _ladder(lines, "gap", {"title": {"text": "won less needed, points"}, "zeroline": True}, "%{y:.1f} points")


def trails(run: Run) -> Figure | None:
    """Win rate had and needed, and net result, under other trails with the stop as set."""
    lines = [line for line in run["trails"] if line["positions"]]
    if not lines:
        return None
    x = [line["label"].removeprefix("trail ") for line in lines]
    traces: list[dict[str, Any]] = [
        {"type": "bar", "name": "net P&L", "x": x, "y": [_r(line["net_usd"]) for line in lines], "yaxis": "y2",
         "marker": {"color": "var:slate"}, "opacity": 0.5, "hovertemplate": "%{x}: $%{y:,.2f}<extra></extra>"},
        *({"type": "scatter", "mode": "lines+markers", "name": name, "x": x, "y": [_pct(line[key]) for line in lines],
           "line": {"color": f"var:{colour}", "width": 2, "dash": dash}, "marker": {"symbol": symbol, "size": 9},
           "hovertemplate": "%{x}: " + name + " %{y:.1f} %<extra></extra>"}
          for key, name, colour, dash, symbol in (
              ("win_rate", "won", "blue", "solid", "circle"), ("win_rate_needed", "needed", "vermillion", "dash", "diamond-open"))),
    ]  # fmt: skip
    layout = {
        "xaxis": {"type": "category"}, "yaxis": {"title": {"text": "share"}, "ticksuffix": " %", "range": [0, 101]},
        "yaxis2": {"title": {"text": "net P&L, USD"}, "tickformat": "$,.0f", "tickmode": "auto", "overlaying": "y", "side": "right", "showgrid": False},
        "margin": {"l": 62, "r": 70, "t": 8, "b": 44},
    }  # fmt: skip
    return _figure(traces, layout, 360)


def since_last(run: Run) -> Figure | None:
    """Share of hard stops, and the mean result, by the time since the last entry on the symbol."""
    lines = [line for line in run["offenders"]["since_last_entry"] if line["positions"]]
    if not lines:
        return None
    trace = {
        "type": "bar", "x": [line["since"] for line in lines],
        "y": [_pct(line["hard_stops"] / line["positions"]) for line in lines], "marker": {"color": "var:vermillion"},
        "text": [f"{counted(line['positions'], 'position')}<br>{line['net_usd'] / line['positions']:+,.2f} USD each" for line in lines],
        "textposition": "outside", "cliponaxis": False, "hovertemplate": "%{x}: %{y:.1f} % hard stops, %{text}<extra></extra>",
    }  # fmt: skip
    layout = {
        "xaxis": {"type": "category"},
        "yaxis": {"title": {"text": "hard stops"}, "ticksuffix": " %", "range": [0, 100]},
        "margin": {"l": 62, "r": 14, "t": 40, "b": 44},  # two lines above a bar of 100 %
    }
    return _figure([trace], layout, 320)


OVERVIEW: dict[str, tuple[str, Callable[[Sequence[Run]], Figure | None]]] = {
    "parts": ("Where the money went", parts_of_all),
    "noise": ("Entries that touch the stop within a holding time", noise_of_all),
}
DETAIL: dict[str, tuple[str, Callable[[Run], Figure | None]]] = {
    "parts": ("Where the money went, in the order of the cut", parts),
    "noise-pct": ("The noise band: entries that fall this far within a holding time", noise_by_pct),
    "ladder": ("The same entries under other stops: net result", ladder_net),
    "ladder-r": ("The same by unit of risk", ladder_r),
    "ladder-won": ("Won less needed, over the width of the stop", ladder_won),
    "trails": ("The same entries under other trails, stop as set", trails),
    "noise-atr": ("The noise band in ATRs", noise_by_atr),
    "distance": ("Distance of the stops", distance),
    "falls": ("Deepest fall while held (MAE)", falls),
    "since": ("Time since the last entry on the symbol", since_last),
}


def _noise(run: Run, key: str, title: str, median: float | None) -> Figure | None:
    points = run["noise"]["curve"][key]
    if not points:
        return None
    x = [p["width"] for p in points]
    traces: list[dict[str, Any]] = []
    if "low" in points[0]:
        shared = {
            "type": "scatter",
            "mode": "lines",
            "x": x,
            "line": {"width": 0},
            "hoverinfo": "skip",
            "showlegend": False,
        }
        traces = [
            shared | {"y": [_pct(p["low"]) for p in points]},
            shared | {"y": [_pct(p["high"]) for p in points], "fill": "tonexty", "fillcolor": "rgba(140,150,165,0.25)"},
        ]
    traces += [
        {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": [_pct(p[field]) for p in points],
         "line": {"color": f"var:{colour}", "width": 2, "dash": dash},
         "hovertemplate": "%{x}: " + name + " %{y:.1f} %<extra></extra>"}
        for field, name, colour, dash in (("random", "random entries", "slate", "dash"), ("own", "own entries", "blue", "solid"))
    ]  # fmt: skip
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": title}}, "yaxis": {"ticksuffix": " %", "rangemode": "tozero", "title": {"text": "touched"}},
    }  # fmt: skip
    if median is not None:
        layout["shapes"] = [
            {"type": "line", "xref": "x", "yref": "paper", "x0": median, "x1": median, "y0": 0, "y1": 1}
            | {"line": {"color": "var:vermillion", "width": 2, "dash": "dot"}}
        ]
        layout["annotations"] = [
            {
                "x": median,
                "y": 1,
                "yref": "paper",
                "text": "median stop",
                "showarrow": False,
                "xanchor": "left",
                "xshift": 4,
            }
        ]
    return _figure(traces, layout, 340)


def _ladder(lines: Sequence[Mapping[str, Any]], key: str, axis: dict[str, Any], hover: str) -> Figure | None:
    first = lines[0]
    if not first["positions"]:
        return None
    traces: list[dict[str, Any]] = []
    for kind, (name, colour, symbol) in FAMILIES.items():
        found = [line for line in lines if line["kind"] == kind and line[key] is not None]
        traces.append({
            "type": "scatter", "mode": "lines+markers", "name": name, "x": [_r(line["stop_pct"]) for line in found],
            "y": [_r(line[key]) for line in found], "customdata": [escape(line["label"]) for line in found],
            "line": {"color": f"var:{colour}", "width": 2}, "marker": {"symbol": symbol, "size": 8},
            "hovertemplate": "%{customdata}: " + hover + "<extra></extra>",
        })  # fmt: skip
    if first[key] is not None:
        traces.append({
            "type": "scatter", "mode": "markers", "name": "as set", "x": [_r(first["stop_pct"])], "y": [_r(first[key])],
            "marker": {"symbol": "star", "size": 15, "color": "var:vermillion"}, "hovertemplate": "as set: " + hover + "<extra></extra>",
        })  # fmt: skip
    layout = {"xaxis": {"title": {"text": "stop, median of the entries, %"}, "rangemode": "tozero"}, "yaxis": axis}
    return _figure(traces, layout, 340)


def _gap(line: Mapping[str, Any]) -> float | None:
    if line["win_rate"] is None or line["win_rate_needed"] is None:
        return None
    return float(line["win_rate"] - line["win_rate_needed"]) * 100


def _figure(traces: list[dict[str, Any]], layout: dict[str, Any], height: int) -> Figure:
    return {"data": traces, "layout": layout | {"height": height}}


def _usd(title: str) -> dict[str, Any]:
    return {"title": {"text": title}, "tickformat": "$,~f", "zeroline": True}


def _pct(share: float | None) -> Any:
    return None if share is None else round(share * 100, 3)


def _r(value: float | None) -> Any:
    return None if value is None else round(float(value), 4)
