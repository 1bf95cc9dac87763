"""The page of one variant: what it holds and traded, what it refused and why, what bars it, how it lives."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from sigil_ext.entrypoints.panel.auth import PageViewer
from sigil_ext.entrypoints.panel.context import Context
from sigil_ext.entrypoints.panel.pages.rendering import page
from sigil_ext.services import board_variant
from sigil_ext.services.board_chart import BAR_MINUTES
from sigil_ext.settings.overlays import TRADED_VARIANTS

router = APIRouter()


@router.get("/variant/{name}")
async def variant(
    request: Request, context: Context, viewer: PageViewer, name: str,
    symbol: Annotated[str | None, Query(max_length=40)] = None, bar: Annotated[str, Query(max_length=4)] = "15m",
) -> Response:  # fmt: skip
    """Show one variant; `symbol` and `bar` choose the candles."""
    context.demand(name)
    answer = (await context.ask_all(board_variant.variant_page, [name]))[name]
    found = answer.value
    shown = _shown(found, symbol) if found else None
    values = {
        "name": name, "answer": answer, "found": found, "bars": list(BAR_MINUTES), "symbol": shown,
        "bar": bar if bar in BAR_MINUTES else "15m", "epoch": datetime.fromtimestamp(0, UTC),
        "own": name not in TRADED_VARIANTS,
        "never_met": symbol if symbol and found and symbol not in found.symbols else None,
    }  # fmt: skip
    return page(request, "variant.html", values)


def _shown(found: board_variant.VariantPage, asked: str | None) -> str | None:
    """Return the symbol to chart: the one asked for, else the first that is held, else the last traded, else any."""
    known = found.symbols
    if asked in known:
        return asked
    first = next((p.row.symbol for p in found.positions.positions), None)
    return first or (known[0] if known else None)
