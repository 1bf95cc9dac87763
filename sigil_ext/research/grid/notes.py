"""What one should know before believing a grid: sentences made of its document. Start at `notes_on`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sigil_ext.research.backtest_format import counted
from sigil_ext.research.grid.posture import CONFOUNDED, is_confounded

if TYPE_CHECKING:
    from sigil_ext.research.grid.report import GridFacts

MOST_NAMED = 4
UNVERIFIED = "Not checked against Jesse (--no-verify): nothing vouches for the compiled engine's trades in this grid."


def notes_on(facts: GridFacts, document: Mapping[str, Any]) -> list[str]:
    """Return the notes of a document that is complete but for them."""
    notes: list[str] = []
    best = document["best"]
    if facts.engine == "kernel":
        notes.append(verified_sentence(facts.verification))
    if document["cells_failed"]:
        notes.append(
            f"{document['cells_failed']:,d} of {len(document['cells']):,d} cells have no result; each says why."
        )
    if best is None:
        notes.append(no_best_sentence(document))
    elif document["cells"][best["index"]]["figures"]["net_pnl_usd"] <= 0:
        notes.append("The best cell made no money: not trading would have been better than any cell that traded.")
    if best is not None and best["at_the_edge"]:
        notes.append(
            f"The best cell lies at the end of {', '.join(best['at_the_edge'])}: a better one may lie outside of the grid."
        )
    if is_confounded([v.settings.hard_stop.multiplier for v in facts.variants], facts.axes):
        notes.append(CONFOUNDED)
    twins = sum(cell.get("same_as") is not None for cell in document["cells"])
    if twins:
        notes.append(
            f"{twins:,d} of the {document['cells_tried']:,d} cells made exactly the trades of another one (same_as in the "
            "JSON): what sets their settings apart never mattered here."
        )
    if document["cells_tried_before"]:
        notes.append(tried_before_sentence(document["cells_tried_before"], document["cells_tried_before_unknown"]))
    coarse = sorted({minutes for minutes in facts.intervals.values() if minutes > 1})
    if coarse:
        notes.append(f"Candles of {coarse[0]} minutes: stops are as coarse as they are, whichever engine ran.")
    if facts.folds:
        notes.append(
            "Each cell is one run over all of the time; a trade belongs to the fold in which it was opened. In sample means "
            "all other folds, later ones too. sigil walkforward never looks ahead."
        )
    notes.append("Drawdown is that of closed trades: blind to open losses.")
    if any(v.name == "legacy" for v in facts.variants):
        notes.append("legacy is a control for research: it stacks entries and has no guard; it is never traded.")
    return notes


def no_best_sentence(document: Mapping[str, Any]) -> str:
    """Return why no cell of `document` is called the best one."""
    traded = [
        c for c in document["cells"] if "figures" in c and c["figures"]["trades"] >= max(1, document["least_trades"])
    ]
    if not traded:
        return "No cell closed enough trades to be called the best one."
    return (
        f"No cell is called the best one: none has a figure for {document['objective_words']}, which a cell without a loss "
        "does not have; take another --objective."
    )


def verified_sentence(verification: Mapping[str, Any] | None) -> str:
    """Return what the check against Jesse came to."""
    if verification is None:
        return UNVERIFIED
    cells = counted(verification["cells"], "cell")
    return f"Checked against Jesse: {cells} drawn at random, {compared(verification['trades'])}."


def compared(trades: int) -> str:
    """Return what was found equal."""
    return f"{counted(trades, 'trade')}, every field equal" if trades else "neither engine made a trade"


def tried_before_sentence(count: int, unknown: int) -> str:
    """Return how earlier tries on the same data enter the figures; of `unknown` of them the P&L by day is not known."""
    cells = f"{count:,d} other cell{'s were' if count != 1 else ' was'}"
    said = f"{cells} run on these candles and this period before, by whichever engine and version; "
    said += "they count" if count != 1 else "it counts"
    said += " as tried in the figures above."
    if unknown:
        said += (
            f" Of {unknown:,d} of them the P&L by day is not known any more (the kernel that made it was disproved): the "
            "deflated ratio counts them, PBO, reality check and SPA do not know them."
        )
    return said


def same_sentence(labels: Sequence[str]) -> str:
    """Return that the cells `labels` are the best one by other names."""
    named = ", ".join(labels[:MOST_NAMED]) + (
        f" and {len(labels) - MOST_NAMED:,d} more" if len(labels) > MOST_NAMED else ""
    )
    cells = "Another cell" if len(labels) == 1 else f"{len(labels):,d} other cells"
    return f"{cells} made exactly the same trades ({named}): which of them is called the best says nothing."
