"""A grid as text: the best cell beneath what it is worth, the cells, folds, posture, what failed, notes.

Nothing is said by colour alone. Start at `print_grid`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sigil_ext.entrypoints.cli.tables import add_row, plain_table, print_table
from sigil_ext.research.backtest_format import NOTHING, shown
from sigil_ext.research.grid.cells import short_label, shown_value
from sigil_ext.research.grid.columns import COLUMNS, EXPLAINED, SAME_EXPLAINED, by_score, exit_counts

Document = Mapping[str, Any]
MOST_FAILED = 10
POSTURE_EXPLAINED = "P&L of a cell (hard-stop share), mean over the other axes. "


def print_grid(console: Console, document: Document, top: int) -> None:
    """Print `document`; of the cells the `top` best ones."""
    console.print(Text(f"Grid {document['title']}", style="bold"))
    console.print(Text(where_line(document)))
    console.print()
    _print_best(console, document)
    _print_cells(console, document, top)
    if document["folds"]:
        print_table(console, _folds(document), "In: all other folds. Rank: among all cells within the fold.")
    if document["posture"] is not None:
        print_table(console, _posture(document), POSTURE_EXPLAINED + document["posture"]["sentence"])
    _print_failed(console, document)
    console.print(Text("Notes", style="bold"))
    for note in document["notes"]:
        console.print(Text(f"- {note}"))


def where_line(document: Document) -> str:
    """Return engine, period, symbols and candles of a document in a line."""
    symbols = document["symbols"]
    named = ", ".join(symbols) if len(symbols) <= 4 else f"{len(symbols)} symbols"
    start, finish = (document[k].replace("T", " ")[:16] for k in ("start", "finish"))
    return f"{document['engine']} engine, {start} to {finish} UTC, {named}, candles: {document['candles']}"


def _print_best(console: Console, document: Document) -> None:
    best = document["best"]
    if best is None:
        return
    figures = document["cells"][best["index"]]["figures"]
    console.print(Text(f"Best by {document['objective_words']}: {best['label']}", style="bold"))
    console.print(
        Text(
            f"{figures['trades']:,d} trades, {shown(figures['net_pnl_usd'], 'signed_usd')}, win rate "
            f"{shown(figures['win_rate'], 'share')} of {shown(figures['win_rate_needed'], 'share')} needed, hard stops "
            f"{shown(figures['hard_stop_share'], 'share')}. What that is worth:"
        )
    )
    for sentence in [*best["statistics"]["sentences"], best["neighbourhood"]["sentence"]]:
        console.print(Text(f"- {sentence}"))
    console.print()


def _print_cells(console: Console, document: Document, top: int) -> None:
    rows = by_score(document)
    keys = [axis["key"] for axis in document["axes"]]
    table = plain_table(
        f"Cells by {document['objective_words']}" + (f", best {top} of {len(rows):,d}" if len(rows) > top else ""),
        "cell", *(c.short for c in COLUMNS), "stop/trail\n/flat",
    )  # fmt: skip
    for cell in rows[:top]:
        figures = cell["figures"]
        twin = " (same)" if cell.get("same_as") is not None else ""
        add_row(
            table, short_label(cell) + twin, *(shown(figures[c.key], c.kind) for c in COLUMNS), exit_counts(figures)
        )
    named = f"Cell: variant {' / '.join(keys)}. " if keys else ""
    same = SAME_EXPLAINED if any(cell.get("same_as") is not None for cell in rows[:top]) else ""
    print_table(console, table, named + same + EXPLAINED)


def _folds(document: Document) -> Table:
    table = plain_table(
        "Folds: the best cell of all others, in and out of sample", "from (UTC)", "chosen", "in\nP&L", "out\ntrades",
        "out\nP&L", "out\nmedian", "rank", text=2,
    )  # fmt: skip
    for fold in document["folds"]:
        start = fold["start"].replace("T", " ")[:16]
        if fold["chosen"] is None:
            add_row(table, start, "none traded", *[NOTHING] * 5)
            continue
        add_row(
            table, start, short_label(document["cells"][fold["chosen"]]), shown(fold["in"]["net_pnl_usd"], "signed_usd"),
            shown(fold["out"]["trades"], "count"), shown(fold["out"]["net_pnl_usd"], "signed_usd"),
            shown(fold["median_out_usd"], "signed_usd"), f"{fold['rank_out']} of {fold['of']}",
        )  # fmt: skip
    return table


def _posture(document: Document) -> Table:
    rows: Sequence[Mapping[str, Any]] = document["posture"]["rows"]
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    table = plain_table("Posture against multiplier", "multiplier", *variants)
    for multiplier in dict.fromkeys(row["multiplier"] for row in rows):
        found = {row["variant"]: row for row in rows if row["multiplier"] == multiplier}
        add_row(table, shown_value(multiplier), *(_posture_cell(found.get(v)) for v in variants))
    return table


def _posture_cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return NOTHING
    share = NOTHING if row["hard_stop_share"] is None else f"{row['hard_stop_share']:.0%}"
    return f"{shown(row['net_pnl_usd'], 'signed_usd')} ({share})"


def _print_failed(console: Console, document: Document) -> None:
    failed = [cell for cell in document["cells"] if cell["problem"] is not None]
    if not failed:
        return
    console.print(Text(f"{len(failed):,d} cell{'s' if len(failed) != 1 else ''} without a result", style="bold"))
    for cell in failed[:MOST_FAILED]:
        console.print(Text(f"- {cell['label']}: {cell['problem']}"))
    if len(failed) > MOST_FAILED:
        console.print(Text(f"- and {len(failed) - MOST_FAILED:,d} more (--json names all)"))
    console.print()
