"""Pages of the panel. Start at `router`."""

from fastapi import APIRouter

router = APIRouter(prefix="/sigil")
