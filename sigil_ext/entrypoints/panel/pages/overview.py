"""The overview: a line a variant, what they hold, then each in detail. One that is away stays as it was, dimmed, and says why."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from sigil_ext.entrypoints.panel.auth import PageViewer
from sigil_ext.entrypoints.panel.context import Context
from sigil_ext.entrypoints.panel.pages.remembered import remembered
from sigil_ext.entrypoints.panel.pages.rendering import page
from sigil_ext.services import board

router = APIRouter()


@router.get("")
async def bare() -> Response:
    """Lead to the overview."""
    return RedirectResponse("/sigil/", status_code=308)


@router.get("/")
async def overview(request: Request, context: Context, viewer: PageViewer) -> Response:
    """Show the variants side by side."""
    shown = remembered(context, await context.ask_all(board.overview))
    held = [(name, p) for name, one in shown.items() if one.value for p in one.value.held]
    return page(request, "overview.html", {"shown": shown, "held": held})
