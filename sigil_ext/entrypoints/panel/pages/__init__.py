"""Pages of the panel, drawn on the server, for people who are logged in. Start at `router`; `rendering` draws.

Overview, one variant, research, operations; `data` has the series of the charts.
"""

from fastapi import APIRouter

from sigil_ext.entrypoints.panel.pages import data, operations, overview, research, variant
from sigil_ext.entrypoints.panel.pages.rendering import error_page

router = APIRouter(include_in_schema=False)
for part in (overview, variant, research, operations, data):
    router.include_router(part.router, prefix="/sigil")

__all__ = ["error_page", "router"]
