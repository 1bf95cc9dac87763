"""Series for the charts as JSON, for the pages' own scripts; programs use the API. Times are Unix seconds."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse, Response

from sigil_ext.entrypoints.panel.auth import PageViewer
from sigil_ext.entrypoints.panel.context import Context
from sigil_ext.entrypoints.panel.pages.rendering import HEADERS
from sigil_ext.services import board, board_chart
from sigil_ext.services.board_chart import CandleChart

Window = Literal["1d", "7d", "30d", "all"]
_WINDOWS = {"1d": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30), "all": None}

router = APIRouter(prefix="/data")


@router.get("/equity")
async def equity(context: Context, viewer: PageViewer, window: Window = "all") -> Response:
    """Return the wallet of every variant over time, USD."""
    answers = await context.ask_all(lambda database: board.equity(database, _WINDOWS[window]))
    series = [
        {
            "variant": name,
            "place": place,
            "points": [[_s(at), usd] for at, usd in answer.value or ()],
            "away": answer.away.sentence if answer.away and answer.away.kind != "absent" else None,
        }
        for place, (name, answer) in enumerate(answers.items())
    ]
    return JSONResponse({"series": series}, headers=HEADERS)


@router.get("/{name}/candles")
async def candles(
    context: Context, viewer: PageViewer, name: str,
    symbol: Annotated[str, Query(max_length=40)], bar: Annotated[str, Query(max_length=4)] = "15m",
) -> Response:  # fmt: skip
    """Return the recorded candles of a symbol, its positions and the way of their stops."""
    answers = await context.ask_all(lambda database: board_chart.candle_chart(database, symbol, bar), [name])
    answer = answers[name]
    # Away is an answer like others: the chart says so and asks again, and the browser has no error to report.
    document = _document(answer.value) if answer.value else {"away": answer.away.sentence if answer.away else ""}
    return JSONResponse(document, headers=HEADERS)


def _document(chart: CandleChart) -> dict[str, Any]:
    return {
        "symbol": chart.symbol,
        "bar": chart.bar,
        "bars": chart.bars,
        "positions": [
            {
                "id": path.position.name,
                "opened": _s(path.position.opened_at),
                "entry": path.position.entry_price,
                "closed": _s(path.position.closed_at) if path.position.closed_at else None,
                "exit": path.position.exit_price,
                "reason": path.position.exit_reason,
                "pnl": path.position.pnl_usd,
                "stop": [[_s(at), price] for at, price in path.points],
            }
            for path in chart.stops
        ],
    }


def _s(at: datetime) -> int:
    return int(at.timestamp())
