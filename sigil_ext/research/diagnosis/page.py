"""One self-contained HTML page of a diagnosis. Everything from the document is escaped. Start at `render_page`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from sigil_ext.research.backtest_format import NOTHING, shown
from sigil_ext.research.diagnosis.charts import DETAIL, OVERVIEW, styles
from sigil_ext.research.diagnosis.summary import figures_for
from sigil_ext.research.page import whole_page

Document = Mapping[str, Any]
Run = Mapping[str, Any]

LADDER: tuple[tuple[str, str, str], ...] = (
    ("stop_pct", "stop", "pct"), ("hard_stops", "hard stops", "count"), ("hard_stop_share", "share", "share"),
    ("noise_share", "noise", "share"),
    ("open_at_end", "open at end", "count"), ("win_rate", "won", "share"), ("win_rate_needed", "needed", "share"),
    ("mean_win_usd", "avg win", "signed_usd"), ("mean_loss_usd", "avg loss", "signed_usd"),
    ("net_usd", "net P&L", "signed_usd"), ("mean_net_pct", "net a trade", "signed_pct"), ("mean_r", "R", "signed_r"),
)  # fmt: skip
SYMBOLS: tuple[tuple[str, str, str], ...] = (
    ("positions", "positions", "count"), ("entries", "entries", "count"), ("hard_stops", "hard stops", "count"),
    ("hard_stop_usd", "lost to them", "signed_usd"), ("net_usd", "net P&L", "signed_usd"),
    ("at_1_5_atr_usd", "at 1.5 ATR", "signed_usd"), ("at_2_5_atr_usd", "at 2.5 ATR", "signed_usd"),
    ("stop_pct", "stop", "pct"), ("atr_pct", "ATR", "pct"), ("stop_atr", "stop, ATRs", "ratio"),
    ("noise_random", "random touch", "share"), ("noise_own", "own touch", "share"),
)  # fmt: skip


def render_page(document: Document) -> str:
    """Return the whole page as HTML."""
    runs = [r for r in document["runs"] if r["positions"]]
    figures: dict[str, Any] = {}
    title = "Hard stops: " + ", ".join(r["name"] for r in document["runs"])
    body = [_header(document, title), *_overview(document, runs, figures), *_details(runs, figures)]
    return whole_page(title, body, {"figures": figures}, script="page.start();")


def _header(document: Document, title: str) -> str:
    bars = ", ".join(str(m) for m in document["bar_minutes"])
    coarse = f" · candles of {bars} min" if bars else ""
    return (
        f"<header><h1>{escape(title)}</h1>"
        f'<p class="muted">{escape(document["source"])} · {_clock(document["start"])} to {_clock(document["finish"])} UTC · '
        f"{len(document['symbols'])} symbols{escape(coarse)} · seed {document['seed']}</p></header>"
    )


def _overview(document: Document, runs: Sequence[Run], figures: dict[str, Any]) -> list[str]:
    if not runs:
        return ['<section class="card"><p>No position was closed: there is nothing to diagnose.</p></section>']
    said = "".join(f"<h3>{escape(r['name'])}</h3>{_notes(r['sentences'])}" for r in runs)
    parts = [
        "<h2>What it says</h2>", f'<section class="card">{said}</section>',
        "<h2>Side by side</h2>" if len(runs) > 1 else "<h2>Summary</h2>",
        f'<section class="card">{_summary(runs)}</section>',
    ]  # fmt: skip
    if len(runs) > 1:
        cards = [_chart(figures, f"all-{key}", heading, build(runs)) for key, (heading, build) in OVERVIEW.items()]
        parts.append(
            '<div class="grid">' + "".join(f'<section class="card">{c}</section>' for c in cards if c) + "</div>"
        )
    if document["together"]:
        parts.append(f'<section class="card">{_together(document["together"])}</section>')
    return parts


def _details(runs: Sequence[Run], figures: dict[str, Any]) -> list[str]:
    if not runs:
        return []
    parts = ["<h2>Run by run</h2>" if len(runs) > 1 else "<h2>In detail</h2>"]
    if len(runs) > 1:
        tabs = "".join(
            f'<button type="button" role="tab" id="tab-{i}" aria-controls="run-{i}" aria-selected="false">'
            f'<span class="swatch" style="background:var(--{colour})"></span>{escape(r["name"])}</button>'
            for i, (r, (colour, _, _)) in enumerate(zip(runs, styles(runs), strict=True))
        )
        parts.append(f'<div role="tablist" aria-label="run">{tabs}</div>')
    for i, run in enumerate(runs):
        labelled = f' role="tabpanel" aria-labelledby="tab-{i}"' if len(runs) > 1 else ""
        parts.append(f'<div id="run-{i}"{labelled}>{_run(i, run, figures)}</div>')
    return parts


def _run(index: int, run: Run, figures: dict[str, Any]) -> str:
    charts = [_chart(figures, f"{index}-{key}", heading, build(run)) for key, (heading, build) in DETAIL.items()]
    cards = "".join(f'<section class="card">{c}</section>' for c in charts if c)
    order = "".join(
        f"<tr><th>{escape(p['name'].replace('_', ' '))}</th>{_cell(p['usd'], 'signed_usd')}"
        f"<td>{escape(_interval(p['interval']))}</td>"
        f'<td class="text wrap">{escape(p["means"])}</td></tr>'
        for p in run["parts"]["parts"]
    )
    p, band = run["parts"], run["noise"]
    how = f"{p['entries_kept']:,} of {p['entries']:,} entries pass today's protections. Same dollars: ${p['mean_notional_usd']:,.2f}."
    if band["random"] is not None:
        how += (
            f" Holding times: those of positions that were not hard-stopped, median {band['holding_minutes']['median'] / 60:.1f} h; "
            f"{p['draws']} drawn for each entry."
        )
    head = '<tr><th>part</th><th>USD</th><th>95 %, by day</th><th class="text">what it is</th></tr>'
    return "\n".join(
        [
            f'<div class="grid">{cards}</div>',
            f'<section class="card"><h3>The parts, in the order of the cut</h3><p class="muted">{escape(how)}</p>'
            f'<div class="scroll"><table class="told"><thead>{head}</thead><tbody>{order}</tbody></table></div></section>',
            _ladder("The same entries under other stops, trail as set", run["ladder"]),
            _ladder("The same entries under other trails, stop as set", run["trails"]),
            _symbols(run),
            f'<section class="card"><h3>Before you believe it</h3>{_notes([*run["notes"], _walked(run)])}</section>',
        ]
    )


def _walked(run: Run) -> str:
    walk = run["walk"]
    if not walk["walked"]:
        return "No position could be walked again: what other stops and trails would have made is not known."
    return (
        f"{walk['same']:,} of {walk['walked']:,} positions end as they did in fact, to the minute, when they are walked again "
        "under the rule as set. A walk knows no cash, no other position and no breaker."
    )


def _summary(runs: Sequence[Run]) -> str:
    heads = "".join(
        f'<th><span class="swatch" style="background:var(--{colour})"></span>{escape(r["name"])}</th>'
        for r, (colour, _, _) in zip(runs, styles(runs), strict=True)
    )
    rows = "".join(
        f"<tr><th>{escape(figure.heading)}</th>{''.join(_cell(figure.of(r), figure.kind) for r in runs)}</tr>"
        for figure in figures_for("page")
    )
    return f'<div class="scroll"><table><thead><tr><th></th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'


def _together(found: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><th>{escape(x['run'])}</th>{_cell(x['entries'], 'count')}{_cell(x['shared'], 'count')}"
        f"{_cell(x['shared'] / x['entries'] if x['entries'] else None, 'share')}{_cell(x['same_close_own'], 'count')}</tr>"
        for x in found["runs"]
    )
    head = "<tr><th>run</th><th>entries</th><th>also another run's</th><th>share</th><th>own, with others at the same close</th></tr>"
    return (
        f"<h3>Entries made together</h3><p>{found['entries']:,} entries are {found['distinct']:,} different ones of a symbol at a "
        f'close.</p><div class="scroll"><table class="narrow"><thead>{head}</thead><tbody>{rows}</tbody></table></div>'
    )


def _ladder(title: str, lines: Sequence[Mapping[str, Any]]) -> str:
    head = "".join(f"<th>{escape(label)}</th>" for _, label, _ in LADDER)
    rows = "".join(
        f"<tr><th>{escape(line['label'])}</th>{''.join(_cell(line[key], kind) for key, _, kind in LADDER)}"
        f"{_cell(None if line['kind'] == 'set' else line['against_as_set']['value'], 'signed_usd')}"
        f"<td>{escape(_interval(line['against_as_set']))}</td></tr>"
        for line in lines
    )
    return (
        f'<section class="card"><h3>{escape(title)}</h3><div class="scroll"><table><thead><tr><th>rule</th>{head}'
        f"<th>against as set</th><th>95 %, by day</th></tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def _symbols(run: Run) -> str:
    head = "".join(f"<th>{escape(label)}</th>" for _, label, _ in SYMBOLS)
    rows = "".join(
        f"<tr><th>{escape(s['symbol'])}</th>{''.join(_cell(s[key], kind) for key, _, kind in SYMBOLS)}</tr>"
        for s in run["by_symbol"]
    )
    return (
        '<section class="card"><h3>Symbols, the largest loss to hard stops first</h3><div class="tall"><table><thead><tr>'
        f"<th>symbol</th>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        '<p class="muted">At 1.5 and 2.5 ATR: the same entries under today\'s two multipliers, within 3 and 6 %.</p></section>'
    )


def _chart(figures: dict[str, Any], key: str, heading: str, figure: dict[str, Any] | None) -> str:
    if figure is None:
        return ""
    figures[key] = figure
    return (
        f'<h3>{escape(heading)}</h3><div class="chart" data-chart="{key}" role="img" aria-label="{escape(heading)}" '
        f'style="min-height:{figure["layout"]["height"]}px"></div>'
    )


def _cell(value: Any, kind: str) -> str:
    text = shown(value, kind)
    sign = ""
    if kind.startswith("signed") and text[0] in "+-":
        sign = ' class="bad"' if text[0] == "-" else ' class="good"'
    return f"<td{' class=muted' if text == NOTHING else sign}>{escape(text)}</td>"


def _interval(found: Mapping[str, Any]) -> str:
    return "" if found["low"] is None else f"{found['low']:+,.2f} to {found['high']:+,.2f}"


def _notes(notes: Sequence[str]) -> str:
    return '<ul class="notes">' + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>"


def _clock(iso: str) -> str:
    return iso[:16].replace("T", " ")
