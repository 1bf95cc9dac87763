"""The acts: what a person may do to one variant. Each needs a reason and is recorded with who asked, as on the command line.

A program needs SIGIL_API_ACT_TOKEN; a page its session, its own origin and X-Sigil-CSRF. Start at `act_on`.
"""

from __future__ import annotations

import asyncio
import unicodedata
from contextlib import closing
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.responses import Response

from sigil_ext.db.connection import Database
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.entrypoints.panel.api.envelope import Envelope, ErrorEnvelope, answer
from sigil_ext.entrypoints.panel.api.parameters import VariantInPath
from sigil_ext.entrypoints.panel.auth import CanAct, Refused
from sigil_ext.entrypoints.panel.closing import Order, close_apart
from sigil_ext.entrypoints.panel.context import Context, PanelContext
from sigil_ext.entrypoints.panel.texts import TURNING
from sigil_ext.services.acts import ACTS, Wanted, act

router = APIRouter()
_OF_A_SYMBOL = ("close", "ban", "lift")
Name = Literal["pause", "resume", "trip", "reset", "flatten", "lift", "ban", "close"]


def _plain(text: str) -> str:
    if not text.strip():
        raise ValueError("needs a reason; it is stored with the act")
    if any(unicodedata.category(c) in ("Cc", "Cs") and c != "\n" for c in text):
        raise ValueError("holds control characters; write it as plain text")
    if any(c in TURNING for c in text):
        raise ValueError("holds characters that turn the direction of writing around; leave them out")
    return text.strip()


class ActBody(BaseModel):
    """Why, and for lift, ban and close of which symbol; for a ban also for how many hours (default 24)."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_plain)]
    symbol: Annotated[str | None, Field(pattern=r"^[\w./-]{1,40}$")] = None
    hours: Annotated[float | None, Field(ge=1 / 60, le=24 * 366 * 10, allow_inf_nan=False)] = None


@dataclass(frozen=True, slots=True)
class Done:
    """What was done, by whom, and what came of it in a sentence."""

    act: str
    variant: str
    by: str
    outcome: str


@router.post(
    "/variants/{variant}/acts/{name}", response_model=Envelope[Done], responses={409: {"model": ErrorEnvelope}}
)
async def act_on(context: Context, viewer: CanAct, variant: VariantInPath, name: Name, body: ActBody) -> Response:
    """Do one act upon one variant. Closing and flattening answer once the database shows it, which can take two minutes."""
    if name in _OF_A_SYMBOL and body.symbol is None:
        raise Refused(422, "invalid", f"symbol: {name} needs one", "symbol")
    wanted = Wanted(body.reason, body.symbol, body.hours)
    if name in ACTS:
        outcome = await _at_once(context, variant, name, wanted, viewer.name)
    else:
        symbol = wanted.demand_symbol() if name == "close" else None
        held = await context.ask(variant, lambda database: PostgresStore(database).open_positions())
        if name == "flatten" and not held:  # what the process would say, some seconds later
            return answer(Done(name, variant, viewer.name, "nothing was open"))
        order = Order(variant, symbol, "manual" if name == "close" else "kill_switch", wanted.reason, viewer.name)
        async with context.closings:
            outcome = await close_apart(context.project, order)
    return answer(Done(name, variant, viewer.name, outcome))


async def _at_once(context: PanelContext, variant: str, name: str, wanted: Wanted, by: str) -> str:
    """Act on a connection of its own: those of the readings cannot write, and a database that is away is never made."""
    address = await context.ask(variant, lambda database: database.address)

    def run() -> str:
        with closing(Database(variant, address)) as database:
            return act(database, name, wanted, actor=by)

    return await asyncio.to_thread(run)
