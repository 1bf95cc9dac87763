"""One self-contained HTML page for a grid. Everything that comes from the document is escaped.

Behaviour of its own (heatmaps with a choice of axes, the table of cells) stands beside this file in `grid_page.js`; the
frame is `research/page.py`. Start at `render_page`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from sigil_ext.research.backtest_format import NOTHING, counted, shown
from sigil_ext.research.grid.axes import Axis
from sigil_ext.research.grid.cells import short_label, shown_value
from sigil_ext.research.grid.charts import CHARTS, style_of
from sigil_ext.research.grid.columns import COLUMNS, EXPLAINED, SAME_EXPLAINED, exit_counts
from sigil_ext.research.grid.notes import no_best_sentence
from sigil_ext.research.grid.stability import ordered, size_of
from sigil_ext.research.page import asset, whole_page

Document = Mapping[str, Any]

PANELS = (
    ("net_pnl_usd", "Net P&L, USD"),
    ("hard_stop_share", "Hard stops, % of exits"),
    ("max_drawdown_pct", "Drawdown, %"),
    ("trades", "Trades"),
    ("gap", "Win rate had minus needed, points"),
    ("payoff_ratio", "Payoff ratio"),
)
MOST_FAILED = 200


def render_page(document: Document) -> str:
    """Return the whole page as HTML."""
    figures: dict[str, Any] = {}
    body = [
        _header(document),
        _best(document),
        _charts(document, figures, ("curves",), "card"),
        _heatmaps(document),
        _pair_of_charts(document, figures),
        _folds(document, figures),
        _posture(document),
        _cells(document),
        _failed(document),
        _notes(document),
        _config(document),
    ]
    data = {"figures": figures, "grid": _grid_data(document)}
    here = "sigil_ext.research.grid"
    return whole_page("Sigil grid", body, data, script=asset("grid_page.js", here), style=asset("grid_page.css", here))


# --- sections -----------------------------------------------------------------------------------------------------


def _header(document: Document) -> str:
    start, finish = (document[k].replace("T", " ")[:16] for k in ("start", "finish"))
    symbols = document["symbols"]
    checked = _checked(document)
    return "\n".join(
        [
            f"<header><h1>Grid: {escape(', '.join(document['variants']))}</h1>",
            f'<p class="muted">{start} to {finish} UTC · {counted(len(symbols), "symbol")} · '
            f"{counted(len(document['cells']), 'cell')} · {escape(document['engine'])} engine · {escape(checked)}</p>",
            f'<p class="muted">{_axes_line(document)}</p>',
            f'<details class="muted"><summary>Symbols</summary><p>{escape(", ".join(symbols))}</p></details></header>',
        ]
    )


def _axes_line(document: Document) -> str:
    parts = [f"<code>{escape(axis['key'])}</code> {escape(_values_line(axis['values']))}" for axis in document["axes"]]
    return "; ".join(parts) or "no axis: the variants as they are"


def _values_line(values: Sequence[Any]) -> str:
    shown_values = [shown_value(v) for v in values]
    if len(shown_values) <= 8:
        return ", ".join(shown_values)
    return f"{', '.join(shown_values[:3])} … {shown_values[-1]} ({len(values)} values)"


def _checked(document: Document) -> str:
    if document["engine"] == "jesse":
        return "every cell is Jesse's own"
    found = document["verification"]
    if found is None:
        return "not checked against Jesse"
    return f"{counted(found['cells'], 'cell')} checked against Jesse, equal"


def _best(document: Document) -> str:
    best = document["best"]
    if best is None:
        return f'<section class="card"><p>{escape(no_best_sentence(document))}</p></section>'
    figures = document["cells"][best["index"]]["figures"]
    facts = [(c.name, shown(figures[c.key], c.kind)) for c in COLUMNS]
    facts.append(("hard stop / trail / flat", exit_counts(figures)))
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in facts)
    sentences = [*best["statistics"]["sentences"], best["neighbourhood"]["sentence"]]
    return (
        f"<h2>Best by {escape(document['objective_words'])}: <code>{escape(best['label'])}</code></h2>"
        f'<p class="verdict">{escape(verdict(document))}</p>'
        f'<div class="worth"><section class="card"><h3>What it came to</h3><table><tbody>{rows}</tbody></table></section>'
        f'<section class="card"><h3>What that is worth</h3>{_list(sentences)}{_gauges(best["statistics"])}</section></div>'
    )


def verdict(document: Document) -> str:
    """Return in a sentence whether the best cell is more than luck."""
    statistics = document["best"]["statistics"]
    spa, dsr, pbo = (
        statistics["superiority"]["spa"], statistics["deflated_sharpe"]["value"], statistics["overfitting"]["pbo"],
    )  # fmt: skip
    pnl = document["cells"][document["best"]["index"]]["figures"]["net_pnl_usd"]
    if pnl <= 0:
        return "No cell made money: not trading would have been better than any of them."
    if spa is None or dsr is None:
        return "Too little time to say whether the best cell is more than luck."
    if spa <= 0.05 and dsr >= 0.95 and (pbo is None or pbo < 0.5):
        return "The best cell is better than luck makes of so many tries. It is still the past of these symbols."
    return "Nothing here can be told from luck: the best of so many cells would look like this with no edge at all."


def _gauges(statistics: Mapping[str, Any]) -> str:
    """Return the three figures that decide, each with the value it would need."""
    rows = (
        ("deflated Sharpe ratio", statistics["deflated_sharpe"]["value"], "0.95 or more"),
        ("deflated, every cell a try of its own", statistics["deflated_sharpe_strict"]["value"], "0.95 or more"),
        ("probability of overfitting", statistics["overfitting"]["pbo"], "well under 0.5"),
        ("reality check, p", statistics["superiority"]["reality_check"], "0.05 or less"),
        ("SPA, p", statistics["superiority"]["spa"], "0.05 or less"),
    )
    body = "".join(
        f"<tr><th>{escape(name)}</th><td>{NOTHING if value is None else f'{value:.3f}'}</td><td>{need}</td></tr>"
        for name, value, need in rows
    )
    return f"<table><thead><tr><th>figure</th><th>had</th><th>needed</th></tr></thead><tbody>{body}</tbody></table>"


def _heatmaps(document: Document) -> str:
    if not _dims(document):
        return ""
    panels = "".join(
        f'<section class="card"><h3>{escape(name)}</h3><div class="chart" data-chart="map-{key}" role="img" '
        f'aria-label="{escape(name)}" style="min-height:320px"></div></section>'
        for key, name in PANELS
    )
    return (
        '<h2>Over the axes</h2><div class="tools" id="map-tools"></div>'
        f'<div class="grid three maps">{panels}</div>'
        '<p class="muted" id="map-legend"></p>'
    )


def _charts(document: Document, figures: dict[str, Any], names: Sequence[str], css: str) -> str:
    parts = []
    for name in names:
        heading, build = CHARTS[name]
        figure = build(document)
        if figure is None:
            continue
        figures[name] = figure
        parts.append(
            f'<section class="{css}"><h3>{escape(heading)}</h3><div class="chart" data-chart="{name}" role="img" '
            f'aria-label="{escape(heading)}" style="min-height:{figure["layout"]["height"]}px"></div></section>'
        )
    return "".join(parts)


def _pair_of_charts(document: Document, figures: dict[str, Any]) -> str:
    cards = _charts(document, figures, ("spread", "win-rates"), "card")
    return f'<div class="grid">{cards}</div>' if cards else ""


def _folds(document: Document, figures: dict[str, Any]) -> str:
    if not document["folds"]:
        return ""
    heads = ("from (UTC)", "to", "chosen on the others", "in P&L", "in trades", "out P&L", "out trades", "hard stops",
             "median cell", "best there was", "rank")  # fmt: skip
    rows = "".join(_fold_row(document, fold) for fold in document["folds"])
    total = sum(f["out"]["net_pnl_usd"] for f in document["folds"] if f["chosen"] is not None)
    middle = sum(f["median_out_usd"] for f in document["folds"] if f["chosen"] is not None)
    return (
        "<h2>In and out of sample</h2>"
        f"{_charts(document, figures, ('folds',), 'card')}"
        f'<section class="card"><div class="scroll"><table><thead><tr>'
        f"{''.join(f'<th{_text(i == 2)}>{escape(h)}</th>' for i, h in enumerate(heads))}</tr></thead><tbody>{rows}</tbody>"
        f'</table></div><p class="muted">Chosen on the other folds and summed over all: {_signed(total)}; the median cell: '
        f"{_signed(middle)}.</p></section>"
    )


def _fold_row(document: Document, fold: Mapping[str, Any]) -> str:
    start, finish = (fold[k].replace("T", " ")[:16] for k in ("start", "finish"))
    finish = finish.removeprefix(start[:5])  # the year is said once, or the table is wider than a screen
    if fold["chosen"] is None:
        return f'<tr><th>{start}</th><td>{finish}</td><td class="text" colspan="9">no cell traded enough</td></tr>'
    share = fold["out"]["hard_stop_share"]
    chosen = short_label(document["cells"][fold["chosen"]])
    return (
        f'<tr><th>{start}</th><td>{finish}</td><td class="text" title="{escape(fold["label"])}"><code>{escape(chosen)}</code></td>'
        f"{_money(fold['in']['net_pnl_usd'])}<td>{fold['in']['trades']:,d}</td>"
        f"{_money(fold['out']['net_pnl_usd'])}<td>{fold['out']['trades']:,d}</td><td>{shown(share, 'percent')}</td>"
        f"{_money(fold['median_out_usd'])}{_money(fold['best_out_usd'])}<td>{fold['rank_out']} of {fold['of']:,d}</td></tr>"
    )


def _posture(document: Document) -> str:
    posture = document["posture"]
    if posture is None:
        return ""
    multipliers = list(dict.fromkeys(row["multiplier"] for row in posture["rows"]))
    heads = "".join(f"<th>x {escape(shown_value(m))}</th>" for m in multipliers)
    rows = []
    for variant in dict.fromkeys(row["variant"] for row in posture["rows"]):
        found = {row["multiplier"]: row for row in posture["rows"] if row["variant"] == variant}
        cells = "".join(_posture_cell(found.get(m)) for m in multipliers)
        colour, _, _ = style_of(document, variant)
        swatch = f'<span class="swatch" style="background:var(--{colour})"></span>'
        rows.append(f"<tr><th>{swatch}{escape(variant)}</th>{cells}</tr>")
    return (
        '<h2>Posture against multiplier</h2><section class="card">'
        f"<p>{escape(posture['sentence'])}</p>{_share_bar(posture['shares'])}"
        f'<div class="scroll"><table><thead><tr><th>entries of</th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
        '</div><p class="muted">P&L of a cell, mean over the other axes; beneath it hard stops and trades.</p></section>'
    )


def _posture_cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return f'<td class="muted">{NOTHING}</td>'
    pnl = row["net_pnl_usd"]
    return (
        f'<td><span class="{"bad" if pnl < 0 else "good"}">{_signed(pnl)}</span><br>'
        f'<span class="muted">{shown(row["hard_stop_share"], "percent")} · {row["trades"]:.0f}</span></td>'
    )


def _share_bar(shares: Mapping[str, float] | None) -> str:
    if shares is None:
        return ""
    colours = {"posture": "green", "multiplier": "orange", "rest": "slate"}
    parts = "".join(
        f'<span style="width:{share * 100:.2f}%;background:var(--{colours[name]})"></span>'
        for name, share in shares.items()
    )
    legend = " ".join(
        f'<span><span class="swatch" style="background:var(--{colours[name]})"></span>{name} {share:.0%}</span>'
        for name, share in shares.items()
    )
    return f'<div class="shares" role="img" aria-label="shares of the spread">{parts}</div><p class="muted keys">{legend}</p>'


def _cells(document: Document) -> str:
    same = SAME_EXPLAINED if any(cell.get("same_as") is not None for cell in document["cells"]) else ""
    return (
        f'<h2>All cells</h2><section class="card" id="cells"><div class="tools"><input type="search" placeholder="variant or value"'
        ' aria-label="filter cells"><output></output><button type="button" class="more" hidden>show all</button></div>'
        '<div class="tall"><table class="trades"><thead><tr></tr></thead><tbody></tbody></table></div>'
        f'<p class="muted">{escape(same + EXPLAINED)} ★ the best cell, ○ a variant as it is.</p></section>'
    )


def _failed(document: Document) -> str:
    failed = [cell for cell in document["cells"] if cell["problem"] is not None]
    if not failed:
        return ""
    lines = [f"{cell['label']}: {cell['problem']}" for cell in failed[:MOST_FAILED]]
    if len(failed) > MOST_FAILED:
        lines.append(f"and {len(failed) - MOST_FAILED:,d} more")
    return f'<section class="card"><h3>{counted(len(failed), "cell")} without a result</h3>{_list(lines)}</section>'


def _notes(document: Document) -> str:
    return f'<section class="card"><h3>Before you believe it</h3>{_list(document["notes"])}</section>'


def _config(document: Document) -> str:
    names = document["variants"]
    rows = []
    for key in document["config"][names[0]]:
        cells = "".join(f"<td>{escape(shown_value(document['config'][n][key]))}</td>" for n in names)
        axis = ' <span class="muted">axis</span>' if any(a["key"] == key for a in document["axes"]) else ""
        rows.append(f"<tr><th><code>{escape(key)}</code>{axis}</th>{cells}</tr>")
    heads = "".join(f"<th>{escape(n)}</th>" for n in names)
    return (
        '<section class="card"><details><summary>Settings of the variants before the axes</summary><div class="scroll">'
        f'<table class="narrow"><thead><tr><th>key</th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
        "</details></section>"
    )


# --- data for the script --------------------------------------------------------------------------------------------


def _dims(document: Document) -> list[dict[str, Any]]:
    """Return what cells differ in: the variants if there are several, and every axis with more than one value."""
    dims: list[dict[str, Any]] = []
    for given in document["axes"]:
        if len(given["values"]) > 1:
            axis = Axis(given["key"], tuple(given["values"]))
            sizes = [size_of(axis.key, v) for v in axis.values]
            dims.append(
                {"key": axis.key, "values": [shown_value(v) for v in ordered(axis)], "sized": None not in sizes}
            )
    if len(document["variants"]) > 1:
        dims.append({"key": "variant", "values": list(document["variants"]), "sized": False})
    return dims


def _grid_data(document: Document) -> dict[str, Any]:
    dims = _dims(document)
    ran = [cell for cell in document["cells"] if cell["problem"] is None]
    steps = [{value: step for step, value in enumerate(dim["values"])} for dim in dims]

    def place(cell: Mapping[str, Any], key: str) -> str:
        return str(cell["variant"]) if key == "variant" else shown_value(cell["values"][key])

    def gap(figures: Mapping[str, Any]) -> float | None:
        return None if figures["win_rate_needed"] is None else (figures["win_rate"] - figures["win_rate_needed"]) * 100

    best = None if document["best"] is None else document["best"]["index"]
    position = {cell["index"]: n for n, cell in enumerate(ran)}
    keys = dict.fromkeys([*(key for key, _ in PANELS), *(c.key for c in COLUMNS)])
    return {
        "dims": dims,
        "at": [[step[place(cell, dim["key"])] for cell in ran] for dim, step in zip(dims, steps, strict=True)],
        "figures": {
            key: [_short(gap(c["figures"]) if key == "gap" else c["figures"][key]) for c in ran] for key in keys
        },
        "exits": [exit_counts(cell["figures"]) for cell in ran],
        "score": [_short(cell["score"]) for cell in ran],
        "best": None if best is None else position[best],
        "own": [position[index] for index in document["own"]],
        "same": {
            position[c["index"]]: document["cells"][c["same_as"]]["label"] for c in ran if c["same_as"] is not None
        },
        "columns": [{"key": c.key, "name": c.name, "kind": c.kind} for c in COLUMNS],
        "objective": document["objective_words"],
    }


def _short(value: float | None) -> float | None:
    """Return a figure with the digits that a chart or table can show: ten thousand cells are a large page."""
    return value if value is None or isinstance(value, int) else float(f"{value:.6g}")


# --- parts ----------------------------------------------------------------------------------------------------------


def _list(sentences: Sequence[str]) -> str:
    return '<ul class="notes">' + "".join(f"<li>{escape(s)}</li>" for s in sentences) + "</ul>"


def _signed(usd: float) -> str:
    return shown(usd, "signed_usd").replace("-", "−", 1)


def _money(usd: float) -> str:
    return f'<td class="{"bad" if usd < 0 else "good"}">{_signed(usd)}</td>'


def _text(is_text: bool) -> str:
    return ' class="text"' if is_text else ""
