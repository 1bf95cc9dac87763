"""One self-contained HTML page for a walk-forward. Everything that comes from the document is escaped. Start at `render_walk`."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from sigil_ext.research.backtest_format import NOTHING, counted, shown
from sigil_ext.research.grid.cells import short_label, shown_value
from sigil_ext.research.grid.charts import style_of
from sigil_ext.research.page import whole_page

Document = Mapping[str, Any]
Figure = dict[str, Any]
FACTS = (
    ("trades", "trades", "count"), ("net P&L", "net_pnl_usd", "signed_usd"), ("a trade", "avg_trade_usd", "signed_usd"),
    ("win rate", "win_rate", "percent"), ("needed", "win_rate_needed", "percent"), ("payoff", "payoff_ratio", "ratio"),
    ("hard stops", "hard_stop_share", "percent"), ("drawdown, closed", "max_drawdown_pct", "pct"),
    ("profit factor", "profit_factor", "ratio"),
)  # fmt: skip


def render_walk(document: Document) -> str:
    """Return the whole page as HTML."""
    figures: dict[str, Any] = {"curve": _curve(document)}
    choices = [(f"choice-{n}", axis["key"], _choice(document, axis)) for n, axis in enumerate(document["axes"])]
    figures |= {name: figure for name, _, figure in choices}
    body = [
        _header(document),
        _out(document),
        _chart("curve", "Closed P&L out of sample, added up", 380),
        _windows(document),
        "<h2>What was chosen</h2>" if choices else "",
        f'<div class="grid">{"".join(_chart(name, key, 260) for name, key, _ in choices)}</div>' if choices else "",
        f'<section class="card"><h3>Before you believe it</h3>{_list(document["notes"])}</section>',
    ]
    return whole_page("Sigil walk-forward", body, {"figures": figures}, script="page.start();", style=STYLE)


STYLE = ".worth{display:grid;grid-template-columns:minmax(240px,1fr) minmax(0,2.4fr);gap:16px;margin:0 0 16px}.worth>.card{margin:0}@media(max-width:760px){.worth{grid-template-columns:minmax(0,1fr)}}"


def _header(document: Document) -> str:
    start, finish = (document[k].replace("T", " ")[:16] for k in ("start", "finish"))
    axes = "; ".join(
        f"<code>{escape(a['key'])}</code> {escape(', '.join(shown_value(v) for v in a['values']))}"
        for a in document["axes"]
    )
    how = "from the start on" if document["anchored"] else f"over {document['train']}"
    return (
        f"<header><h1>Walk-forward: {escape(', '.join(document['variants']))}</h1>"
        f'<p class="muted">{start} to {finish} UTC · {counted(len(document["symbols"]), "symbol")} · {counted(document["cells"], "cell")} · '
        f"{escape(document['engine'])} engine</p>"
        f'<p class="muted">best by {escape(document["objective_words"])} {escape(how)}, traded for {escape(document["trade"])}, '
        f'{counted(len(document["windows"]), "window")}</p><p class="muted">{axes}</p></header>'
    )


def _out(document: Document) -> str:
    found = document["out"]["figures"]
    rows = "".join(f"<tr><th>{name}</th><td>{escape(shown(found[key], kind))}</td></tr>" for name, key, kind in FACTS)
    return (
        f'<h2>Out of sample</h2><p class="verdict">{escape(verdict(document))}</p>'
        f'<div class="worth"><section class="card"><h3>What it came to</h3><table><tbody>{rows}</tbody></table></section>'
        f'<section class="card"><h3>What that is worth</h3>{_list(document["sentences"])}{_own(document)}</section></div>'
    )


def verdict(document: Document) -> str:
    """Return in a sentence whether choosing paid; what no interval shows is not said as a fact."""
    pnl, total = _cents(document["out"]["figures"]), document["out"]["statistics"]["total_usd"]
    if not document["out"]["figures"]["trades"]:
        return "Nothing was traded out of sample."
    if total["low"] is None:
        dates = counted(len(document["out"]["days"]), "UTC date")
        return f"{shown(pnl, 'signed_usd')} on {dates}: too little time to say whether choosing pays, or is better than not to choose."
    if total["low"] > 0:
        return f"Choosing on the past and trading the next made money; {_versus(document)}."
    if pnl > 0:
        return f"It made money, but the interval includes a loss, so it may be luck; {_versus(document)}."
    if pnl == 0:
        return f"It neither made nor lost money; {_versus(document)}."
    return f"It lost money: what was best in one window did not stay so; {_versus(document)}."


def _versus(document: Document) -> str:
    """Return how it did against the best variant as it is, and whether the days show it."""
    own = max(document["own"], key=lambda found: found["figures"]["net_pnl_usd"])
    ahead, mine, theirs = own["ahead_usd"], _cents(document["out"]["figures"]), _cents(own["figures"])
    said = _beside(mine, theirs, f"{own['variant']} as it is")
    is_shown = ahead["low"] is not None and (ahead["low"] > 0 or ahead["high"] < 0)
    return said + ("" if is_shown or mine == theirs else " (the difference may be chance)")


def _beside(mine: float, theirs: float, name: str) -> str:
    """Return the end of a sentence that has said whether `mine` is a gain or a loss: less lost is not more made."""
    if mine * theirs <= 0 and mine != theirs:
        did = "made money" if theirs > 0 else "lost money" if theirs < 0 else "neither made nor lost any"
        return f"{name} {did}"
    if mine == theirs:
        return f"{name} did the same, to the cent"
    amount = "more" if abs(mine) > abs(theirs) else "less"
    return f"it {'made' if mine > 0 else 'lost'} {amount} than {name}"


def _cents(figures: Mapping[str, Any]) -> float:
    """Return the P&L as it is shown, so that no sentence contradicts the table."""
    return round(float(figures["net_pnl_usd"]), 2)


def _own(document: Document) -> str:
    rows = "".join(
        f"<tr><th>{escape(own['variant'])}</th><td>{own['figures']['trades']:,d}</td>{_money(own['figures']['net_pnl_usd'])}"
        f"<td>{shown(own['figures']['win_rate'], 'percent')}</td><td>{shown(own['figures']['hard_stop_share'], 'percent')}</td></tr>"
        for own in document["own"]
    )
    return (
        '<div class="scroll"><table><thead><tr><th>as it is, same windows</th><th>trades</th><th>P&amp;L</th><th>win rate</th>'
        f"<th>hard stops</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _windows(document: Document) -> str:
    heads = ("judged from", "traded from", "to", "chosen", "in trades", "in P&L", "out trades", "out P&L", "win rate", "needed",
             "hard stops")  # fmt: skip
    rows = "".join(_window_row(window) for window in document["windows"])
    head = "".join(f'<th class="{"text" if name == "chosen" else ""}">{escape(name)}</th>' for name in heads)
    return (
        f'<h2>Window by window</h2><section class="card"><div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _window_row(window: Mapping[str, Any]) -> str:
    train, trade, finish = (window[k].replace("T", " ")[:16] for k in ("train", "trade", "finish"))
    inside, out = window["in"], window["out"]
    chosen = "none, stood aside" if window["chosen"] is None else short_label(window)
    before = (
        f"<td>{NOTHING}</td><td>{NOTHING}</td>"
        if inside is None
        else f"<td>{inside['trades']:,d}</td>{_money(inside['net_pnl_usd'])}"
    )
    return (
        f'<tr><th>{train}</th><td>{trade}</td><td>{finish}</td><td class="text" title="{escape(window["label"] or "")}">'
        f"<code>{escape(chosen)}</code></td>{before}<td>{out['trades']:,d}</td>{_money(out['net_pnl_usd'])}"
        f"<td>{shown(out['win_rate'], 'percent')}</td><td>{shown(out['win_rate_needed'], 'percent')}</td>"
        f"<td>{shown(out['hard_stop_share'], 'percent')}</td></tr>"
    )


def _curve(document: Document) -> Figure:
    """Closed P&L at the end of each day and window; the lines are where one window ends and the next begins."""
    curve = document["out"]["curve"]
    traces = [_line(curve["at"], curve["pnl_usd"], "chosen on the window before", "ink", "solid", 2.5)]
    for own in document["own"]:
        colour, _, _ = style_of(document, own["variant"])
        traces.append(_line(curve["at"], own["curve_pnl_usd"], f"{own['variant']} as it is", colour, "dash", 1.6))
    edges = [
        {"type": "line", "x0": w["trade"], "x1": w["trade"], "y0": 0, "y1": 1, "yref": "paper",
         "line": {"color": "var:grid-strong", "width": 1, "dash": "dot"}}
        for w in document["windows"]
    ]  # fmt: skip
    layout = {
        "hovermode": "x unified", "height": 380, "shapes": edges, "xaxis": {"type": "date"},
        "yaxis": {"title": {"text": "closed P&L, USD"}, "tickformat": "$,~f", "zeroline": True},
    }  # fmt: skip
    return {"data": traces, "layout": layout}


def _choice(document: Document, axis: Mapping[str, Any]) -> Figure:
    """The value chosen in each window, with the variant as the marker; no line where nothing was chosen."""
    known = [w for w in document["windows"] if w["chosen"] is not None]
    steps: list[tuple[str, str | None]] = []
    for w in document["windows"]:
        value = None if w["chosen"] is None else shown_value(w["values"][axis["key"]])
        steps += [(w["trade"], value), (w["finish"], value)]
    traces: list[dict[str, Any]] = [
        {"type": "scatter", "mode": "lines", "x": [at for at, _ in steps], "y": [value for _, value in steps],
         "hoverinfo": "skip", "showlegend": False, "line": {"color": "var:grid-strong", "width": 1.5}}
    ]  # fmt: skip
    for variant in document["variants"]:
        picked = [w for w in known if w["variant"] == variant]
        colour, symbol, _ = style_of(document, variant)
        if picked:
            traces.append({
                "type": "scatter", "mode": "markers", "name": escape(variant), "x": [w["trade"] for w in picked],
                "y": [shown_value(w["values"][axis["key"]]) for w in picked],
                "marker": {"color": f"var:{colour}", "symbol": symbol, "size": 10},
                "hovertemplate": "%{x}: %{y}<extra>" + escape(variant) + "</extra>",
            })  # fmt: skip
    order = [shown_value(v) for v in axis["values"]]
    layout = {
        "height": 260,
        "xaxis": {"type": "date"},
        "yaxis": {"type": "category", "categoryorder": "array", "categoryarray": order, "nticks": 10},
    }
    return {"data": traces, "layout": layout}


def _line(x: list[str], y: list[float], name: str, colour: str, dash: str, width: float) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "lines+markers" if len(x) <= 40 else "lines", "x": x, "y": [round(v, 4) for v in y],
        "marker": {"size": 5}, "name": escape(name), "line": {"color": f"var:{colour}", "dash": dash, "width": width},
        "hovertemplate": "$%{y:,.2f}",
    }  # fmt: skip


def _chart(name: str, heading: str, height: int) -> str:
    return (
        f'<section class="card"><h3>{escape(heading)}</h3><div class="chart" data-chart="{name}" role="img" '
        f'aria-label="{escape(heading)}" style="min-height:{height}px"></div></section>'
    )


def _list(sentences: list[str]) -> str:
    return '<ul class="notes">' + "".join(f"<li>{escape(s)}</li>" for s in sentences) + "</ul>"


def _money(usd: float) -> str:
    return f'<td class="{"bad" if usd < 0 else "good"}">{shown(usd, "signed_usd").replace("-", "−", 1)}</td>'
