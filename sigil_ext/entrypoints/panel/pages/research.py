"""The shelf of research in the browser: what was run, with its settings, data and figures, and its saved page.

A saved page is a file that holds scripts of its own. It is served with a policy of its own: sandboxed, so that its scripts
run in an origin that is nobody's, with no cookie and no way to ask this server or any other.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import FileResponse, Response

from sigil_ext.entrypoints.panel.auth import PageViewer
from sigil_ext.entrypoints.panel.context import Context
from sigil_ext.entrypoints.panel.pages import shelf_views
from sigil_ext.entrypoints.panel.pages.rendering import HEADERS, error_page, page
from sigil_ext.entrypoints.panel.pages.shelf_reports import report
from sigil_ext.errors import SigilError, UsageError
from sigil_ext.services import shelf
from sigil_ext.settings.project import Project

SAVED_POLICY = (
    "sandbox allow-scripts allow-popups; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; font-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)

MOST_LISTED = 200

router = APIRouter(prefix="/research")


@router.get("")
async def listing(
    request: Request, context: Context, viewer: PageViewer, kind: Annotated[str | None, Query(max_length=20)] = None
) -> Response:
    """List what is on the shelf, newest first."""
    chosen = kind if kind in shelf.KINDS else None
    entries = await asyncio.to_thread(shelf.listing, context.project, chosen)
    values = {
        "entries": entries[:MOST_LISTED], "left_out": max(0, len(entries) - MOST_LISTED), "kinds": shelf.KINDS, "kind": chosen,
    }  # fmt: skip
    return page(request, "research.html", values)


@router.get("/{entry_id}")
async def entry(request: Request, context: Context, viewer: PageViewer, entry_id: str) -> Response:
    """Show one result."""
    try:
        values = await asyncio.to_thread(_result, context.project, entry_id, dict(request.query_params))
    except UsageError as error:
        return error_page(request, 404, str(error))
    except SigilError as error:
        return error_page(request, 503, str(error))
    return page(request, "result.html", values)


def _result(project: Project, entry_id: str, chosen: Mapping[str, str]) -> dict[str, Any]:
    """Read and lay out one result: a grid of ten thousand cells takes a while, in which others are served."""
    document = shelf.load(project, entry_id)
    found = next(e for e in shelf.listing(project, entry_id.partition("-")[0]) if e.id == entry_id)
    return {
        "entry": found,
        "saved": found.page is not None,
        "report": report(found.kind, document),
    } | shelf_views.views(document, chosen)


@router.get("/{entry_id}/page")
async def saved_page(request: Request, context: Context, viewer: PageViewer, entry_id: str) -> Response:
    """Serve the saved page of a result, sandboxed."""
    try:
        file = shelf.page_of(context.project, entry_id)
    except UsageError as error:
        return error_page(request, 404, str(error))
    if file is None:
        return error_page(request, 404, f"{entry_id} was saved without a page")
    headers = {**HEADERS, "Content-Security-Policy": SAVED_POLICY}
    return FileResponse(file, media_type="text/html; charset=utf-8", headers=headers)


@router.get("/{entry_id}/document")
async def document(request: Request, context: Context, viewer: PageViewer, entry_id: str) -> Response:
    """Serve the document of a result as a file."""
    try:
        found = await asyncio.to_thread(shelf.load, context.project, entry_id)
    except UsageError as error:
        return error_page(request, 404, str(error))
    except SigilError as error:
        return error_page(request, 503, str(error))
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{entry_id}.json"'}
    return Response(json.dumps(found, indent=1), media_type="application/json", headers=headers)
