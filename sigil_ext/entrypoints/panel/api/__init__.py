"""The read API under /sigil/api/v1 and the acts. Never shows a page. Start at `router`."""

from fastapi import APIRouter

router = APIRouter(prefix="/sigil/api/v1")
