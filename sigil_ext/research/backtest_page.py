"""One self-contained HTML page for one or several backtests: it opens without a network, in light and dark, on a phone.

Everything that comes from a report is escaped. The charts are in `backtest_charts.py`, the frame in `page.py`, behaviour of
its own beside this file in `backtest_page.js`. Start at `render_page`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

from sigil_ext.research.backtest_charts import DETAIL, OVERVIEW, REASON_STYLE, variant_styles
from sigil_ext.research.backtest_format import NOTHING, shown
from sigil_ext.research.backtest_report import compare_reports, differing_settings, verdict
from sigil_ext.research.page import asset, whole_page

Report = Mapping[str, Any]

# (key of a trade, heading, how backtest_page.js writes it)
TRADE_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("symbol", "symbol", "text"),
    ("opened_at", "opened (UTC)", "time"),
    ("closed_at", "closed (UTC)", "time"),
    ("minutes", "held", "held"),
    ("exit_reason", "exit", "text"),
    ("pnl_usd", "P&L", "signed"),
    ("pnl_r", "R", "n2"),
    ("entry_price", "entry", "price"),
    ("exit_price", "exit price", "price"),
    ("hard_stop_price", "hard stop", "price"),
    ("stop_price", "last stop", "price"),
    ("stop_pct", "stop %", "n2"),
    ("notional_usd", "size", "usd"),
    ("risk_usd", "risk", "usd"),
    ("fee", "costs", "usd"),
    ("mae_r", "MAE R", "n2"),
    ("mfe_r", "MFE R", "n2"),
    ("next_24h_high_pct", "24h high %", "n2"),
    ("next_24h_low_pct", "24h low %", "n2"),
    ("cap_bound", "cap bound", "bool"),
    ("entries", "entries", "n0"),
    ("universe_id", "universe", "n0"),
)

# (heading, how a cell is written)
EXIT_COLUMNS: tuple[tuple[str, Callable[[Mapping[str, Any]], str]], ...] = (
    ("trades", lambda e: _cell(e["count"], "count")),
    ("share", lambda e: _cell(e["share"], "share")),
    ("P&L", lambda e: _cell(e["pnl_usd"], "signed_usd")),
    ("avg", lambda e: _cell(e["avg_pnl_usd"], "signed_usd")),
    ("avg R", lambda e: _cell(e["avg_pnl_r"], "signed_r")),
    ("win rate", lambda e: _cell(e["win_rate"], "share")),
    ("W / D / L", lambda e: f"<td>{e['wins']}/{e['draws']}/{e['losses']}</td>"),
    ("avg win", lambda e: _cell(e["avg_win_usd"], "signed_usd")),
    ("avg loss", lambda e: _cell(e["avg_loss_usd"], "signed_usd")),
    ("MAE R", lambda e: _pair(e["mae_r_mean"], e["mae_r_median"], "ratio")),
    ("MFE R", lambda e: _pair(e["mfe_r_mean"], e["mfe_r_median"], "ratio")),
    ("24h high", lambda e: _cell(e["next_24h_high_pct"], "signed_pct")),
    ("24h low", lambda e: _cell(e["next_24h_low_pct"], "signed_pct")),
    ("held", lambda e: _cell(e["avg_minutes"], "duration")),
)


# Rows of the summary with a line above them.
GROUPS_BEGIN = frozenset(
    {"win rate had", "max drawdown, marked", "hard stops", "costs paid", "size cap bound", "signals acted on"}
)


def render_page(reports: Sequence[Report], title: str = "Sigil backtest") -> str:
    """Return the whole page as HTML."""
    figures: dict[str, Any] = {}
    body = [
        _header(reports, title),
        _overview(reports, figures),
        _details(reports, figures),
    ]
    data = {"figures": figures, "trades": {str(i): _trades(r) for i, r in enumerate(reports)}}
    return whole_page(title, body, data, script=asset("backtest_page.js"))


# --- sections -----------------------------------------------------------------------------------------------------


def _header(reports: Sequence[Report], title: str) -> str:
    if not reports:
        return f"<h1>{escape(title)}</h1><p>No run, nothing to show.</p>"
    periods = sorted({(r["start"], r["finish"]) for r in reports})
    symbols = sorted({s for r in reports for s in r["symbols"]})
    when = "; ".join(f"{_clock(a)} to {_clock(b)} UTC ({_days(a, b)})" for a, b in periods)
    pool = f"{len(symbols)} symbol{'s' if len(symbols) != 1 else ''}"
    return "\n".join(
        [
            f"<header><h1>{escape(title)}</h1>",
            f'<p class="muted">{escape(when)} · {pool} · {escape(", ".join(r["variant"] for r in reports))}</p>',
            f'<details class="muted"><summary>Symbols</summary><p>{escape(", ".join(symbols))}</p></details></header>',
            f'<p class="verdict">{escape(verdict(reports))}</p>',
        ]
    )


def _overview(reports: Sequence[Report], figures: dict[str, Any]) -> str:
    if not reports:
        return ""
    cards = [_chart(figures, f"all-{key}", heading, build(reports)) for key, (heading, build) in OVERVIEW.items()]
    settings = differing_settings(reports)
    notes = [*(f"{r['variant']}: {r['cap']['sentence']}" for r in reports), *_shared_notes(reports)]
    heading = "Side by side" if len(reports) > 1 else "Summary"
    parts = [f"<h2>{heading}</h2>", f'<section class="card">{_summary(reports)}</section>']
    if not any(r["trades"] for r in reports):
        parts.append('<section class="card"><p>No position was opened in this period.</p></section>')
    unmarked = [r["variant"] for r in reports if not r["equity"]["marked"]]
    if unmarked:
        curves = f"The equity of {', '.join(unmarked)} is that of closed trades: open losses do not show in it."
        parts.append(f'<section class="card"><p>{escape(curves)}</p></section>')
    parts.append(f'<section class="card">{cards[0]}</section>' if cards[0] else "")
    rest = [f'<section class="card">{card}</section>' for card in cards[1:] if card]
    if rest:
        parts.append(f'<div class="grid three">{"".join(rest)}</div>')
    parts.append(f'<section class="card"><h3>Before you believe it</h3>{_notes(notes)}</section>')
    if settings:
        head = _row(["setting", *(r["variant"] for r in reports)], head=True)
        rows = [
            f"<tr><th><code>{escape(s['key'])}</code></th>{''.join(f'<td>{escape(_value(v))}</td>' for v in s['values'])}</tr>"
            for s in settings
        ]
        parts.append(
            '<section class="card"><details open><summary>Settings that differ</summary>'
            f'<div class="scroll"><table><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table></div>'
            "</details></section>"
        )
    return "\n".join(parts)


def _summary(reports: Sequence[Report]) -> str:
    heads = "".join(
        f'<th><span class="swatch" style="background:var(--{colour})"></span>{escape(r["variant"])}</th>'
        for r, (colour, _, _) in zip(reports, variant_styles(reports), strict=True)
    )
    known = [row for row in compare_reports(reports) if any(v is not None for v in row["values"])]
    if len(reports) == 1:
        pairs = (f"<tr><th>{escape(r['label'])}</th>{_cell(r['values'][0], r['kind'])}</tr>" for r in known)
        return f'<div class="pairs"><table><tbody>{"".join(pairs)}</tbody></table></div>'
    rows = []
    for row in known:
        cells = "".join(_cell(v, row["kind"]) for v in row["values"])
        group = ' class="group"' if row["label"] in GROUPS_BEGIN else ""
        rows.append(f"<tr{group}><th>{escape(row['label'])}</th>{cells}</tr>")
    return (
        f'<div class="scroll"><table><thead><tr><th></th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _details(reports: Sequence[Report], figures: dict[str, Any]) -> str:
    if not reports:
        return ""
    parts = ["<h2>Run by run</h2>" if len(reports) > 1 else "<h2>In detail</h2>"]
    if len(reports) > 1:
        tabs = "".join(
            f'<button type="button" role="tab" id="tab-{i}" aria-controls="run-{i}" aria-selected="false">'
            f'<span class="swatch" style="background:var(--{colour})"></span>{escape(r["variant"])}</button>'
            for i, (r, (colour, _, _)) in enumerate(zip(reports, variant_styles(reports), strict=True))
        )
        parts.append(f'<div role="tablist" aria-label="run">{tabs}</div>')
    shared = _shared_notes(reports)
    for index, report in enumerate(reports):
        labelled = f' role="tabpanel" aria-labelledby="tab-{index}"' if len(reports) > 1 else ""
        parts.append(f'<div id="run-{index}"{labelled}>{_run(index, report, shared, figures)}</div>')
    return "\n".join(parts)


def _run(index: int, report: Report, shared: Sequence[str], figures: dict[str, Any]) -> str:
    own = [note for note in report["notes"] if note not in shared]
    parts = []
    if own:
        parts.append(f'<section class="card"><h3>Notes on {escape(report["variant"])}</h3>{_notes(own)}</section>')
    if report["trades"]:
        parts.append(f'<section class="card"><h3>Exits by reason</h3>{_exits(report)}</section>')
    else:
        parts.append('<section class="card"><p>No position was opened in this period.</p></section>')
    charts = [_chart(figures, f"{index}-{key}", heading, build(report)) for key, (heading, build) in DETAIL.items()]
    cards = "".join(f'<section class="card">{chart}</section>' for chart in charts if chart)
    if cards:
        parts.append(f'<div class="grid">{cards}</div>')
    if report["trades"]:
        parts.append(_trades_table(index, report))
    parts.append(_config(report))
    return "\n".join(parts)


def _exits(report: Report) -> str:
    lines = [*report["by_exit_reason"].items(), ("TOTAL", report["totals"])]
    rows = []
    for reason, line in lines:
        colour, _ = REASON_STYLE.get(reason, ("ink", ""))
        swatch = "" if reason == "TOTAL" else f'<span class="swatch" style="background:var(--{colour})"></span>'
        cells = "".join(write(line) for _, write in EXIT_COLUMNS)
        total = ' class="total"' if reason == "TOTAL" else ""
        rows.append(f"<tr{total}><th>{swatch}{escape(reason)}</th>{cells}</tr>")
    head = _row(["exit", *(name for name, _ in EXIT_COLUMNS)], head=True)
    return (
        f'<div class="scroll"><table><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table></div>'
        '<p class="muted" style="margin-top:8px">R is the distance from entry to hard stop. MAE and MFE: how far a '
        "trade went against its entry and for it, mean / median. 24h: highest and lowest price in the day after the exit.</p>"
    )


def _trades_table(index: int, report: Report) -> str:
    reasons = "".join(f"<option>{escape(reason)}</option>" for reason in report["by_exit_reason"])
    return (
        f'<section class="card"><details><summary>All {len(report["trades"]):,d} trades</summary>'
        f'<div data-trades="{index}"><div class="tools"><input type="search" placeholder="symbol or date" '
        'aria-label="filter by symbol or date"><select aria-label="filter by exit reason"><option value="">every exit'
        f"</option>{reasons}</select><output></output>"
        '<button type="button" class="more" hidden>show all</button></div>'
        '<div class="tall"><table class="trades"><thead><tr></tr></thead><tbody></tbody></table></div></div>'
        "</details></section>"
    )


def _config(report: Report) -> str:
    origins = report["origins"]
    rows = "".join(
        f'<tr><th><code>{escape(key)}</code></th><td class="text wrap">{escape(_value(value))}</td>'
        f'<td class="text"><span class="muted">{escape(origins.get(key, ""))}</span></td></tr>'
        for key, value in report["config"].items()
    )
    head = '<tr><th>key</th><th class="text">value</th><th class="text">from</th></tr>'
    universe, breaker = report["universe"], report["breaker"]
    lines = []
    if universe["scans"]:
        reasons = ", ".join(f"{reason} {n:,d}" for reason, n in universe["reasons"].items())
        lines.append(
            f"{universe['scans']:,d} scans of the pool; {universe['size_mean']:.1f} symbols in the universe on average "
            f"({universe['size_min']} to {universe['size_max']}). Verdicts: {reasons}."
        )
    if breaker["tripped"]:
        lines.append(f"The breaker tripped at {_clock(breaker['tripped_at'])} UTC: {breaker['reason']}.")
    said = "".join(f"<p>{escape(line)}</p>" for line in lines)
    metrics = "".join(
        f"<tr><th><code>{escape(str(key))}</code></th><td>{escape(_value(value))}</td></tr>"
        for key, value in report["metrics"].items()
    )
    return (
        f'<section class="card"><details><summary>Settings, each with its origin</summary>{said}<div class="scroll">'
        f'<table class="narrow"><thead>{head}</thead><tbody>{rows}</tbody></table></div></details></section>'
        '<section class="card"><details><summary>Jesse\'s own metrics, untouched</summary><div class="scroll">'
        f'<table class="narrow"><tbody>{metrics}</tbody></table></div></details></section>'
    )


# --- parts --------------------------------------------------------------------------------------------------------


def _chart(
    figures: dict[str, Any], key: str, heading: str, figure: dict[str, Any] | None, *, wide: bool = False
) -> str:
    if figure is None:
        return ""
    figures[key] = figure
    height = figure["layout"]["height"]
    return (
        f"<h3>{escape(heading)}</h3>"
        f'<div class="chart" data-chart="{key}" role="img" aria-label="{escape(heading)}" style="min-height:{height}px"></div>'
    )


def _trades(report: Report) -> dict[str, Any]:
    columns = [{"key": key, "label": label, "kind": kind} for key, label, kind in TRADE_COLUMNS]
    return {"columns": columns, "rows": [_trade_cells(t) for t in report["trades"]]}


def _trade_cells(trade: Mapping[str, Any]) -> list[Any]:
    held = datetime.fromisoformat(trade["closed_at"]) - datetime.fromisoformat(trade["opened_at"])
    more = dict(trade) | {
        "minutes": held.total_seconds() / 60,
        "pnl_r": trade["pnl_usd"] / trade["risk_usd"] if trade["risk_usd"] else None,
    }
    return [more[key] for key, _, _ in TRADE_COLUMNS]


def _shared_notes(reports: Sequence[Report]) -> list[str]:
    if len(reports) == 1:
        return list(reports[0]["notes"])
    return [note for note in reports[0]["notes"] if all(note in r["notes"] for r in reports)]


def _notes(notes: Sequence[str]) -> str:
    return '<ul class="notes">' + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>"


def _cell(value: Any, kind: str) -> str:
    text = shown(value, kind)
    sign = ""
    if kind.startswith("signed") and text[0] in "+-":
        sign = ' class="bad"' if text[0] == "-" else ' class="good"'
    muted = ' class="muted"' if text == NOTHING else sign
    return f"<td{muted}>{escape(text.replace('-', '−', 1) if text[0] == '-' else text)}</td>"


def _pair(first: float | None, second: float | None, kind: str) -> str:
    return _cell(None, kind) if first is None else f"<td>{shown(first, kind)} / {shown(second, kind)}</td>"


def _row(cells: Sequence[str], *, head: bool = False) -> str:
    tag = "th" if head else "td"
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _value(value: Any) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:,.10g}" if isinstance(value, float) else str(value)


def _clock(text: str) -> str:
    return text.replace("T", " ")[:16]


def _days(start: str, finish: str) -> str:
    span = datetime.fromisoformat(finish) - datetime.fromisoformat(start)
    return f"{span.total_seconds() / 86400:.1f} days"
