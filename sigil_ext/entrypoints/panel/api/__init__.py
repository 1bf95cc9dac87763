"""The read API under /sigil/api/v1 and the acts. Never shows a page. Start at `router`, then `read`."""

from fastapi import APIRouter, Depends

from sigil_ext.entrypoints.panel.api import acts, read, reference, stream
from sigil_ext.entrypoints.panel.api.envelope import ErrorEnvelope
from sigil_ext.entrypoints.panel.api.parameters import only_known
from sigil_ext.entrypoints.panel.auth import require_viewer

PREFIX = "/sigil/api/v1"
_ERRORS = {code: {"model": ErrorEnvelope} for code in (400, 401, 403, 404, 408, 413, 422, 429, 503)}

router = APIRouter(prefix=PREFIX, dependencies=[Depends(require_viewer), Depends(only_known)], responses=_ERRORS)  # type: ignore[arg-type]
router.include_router(read.router)
router.include_router(acts.router)
router.include_router(stream.router)
router.include_router(reference.router)

# A websocket has no status to answer with, so it proves itself in its own way.
socket_router = APIRouter(prefix=PREFIX)
socket_router.include_router(stream.socket_router)
