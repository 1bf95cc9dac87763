"""The acts: what a person may do to one variant. Each needs a reason and is recorded with who asked, as on the command line.

A program needs SIGIL_API_ACT_TOKEN; a page its session, its own origin and X-Sigil-CSRF. Each act has a body of its own: a
field that it would not use is refused, for whoever names a symbol does not mean all of them. Start at `flatten`.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from starlette.responses import Response

from sigil_ext.db.connection import Database
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.entrypoints.panel.api.envelope import Envelope, ErrorEnvelope, answer
from sigil_ext.entrypoints.panel.api.parameters import VariantInPath
from sigil_ext.entrypoints.panel.auth import CanAct, Refused, Viewer
from sigil_ext.entrypoints.panel.closing import Order, close_apart
from sigil_ext.entrypoints.panel.context import Context, PanelContext
from sigil_ext.entrypoints.panel.texts import TURNING
from sigil_ext.services.acts import Wanted, act

router = APIRouter()
NAMES = ("pause", "resume", "trip", "reset", "flatten", "close", "ban", "lift")


def _plain(text: str) -> str:
    if not text.strip():
        raise ValueError("needs a reason; it is stored with the act")
    if any(unicodedata.category(c) in ("Cc", "Cs") and c != "\n" for c in text):
        raise ValueError("holds control characters; write it as plain text")
    if any(c in TURNING for c in text):
        raise ValueError("holds characters that turn the direction of writing around; leave them out")
    return text.strip()


def _none(who_does: str) -> BeforeValidator:
    """Refuse any value but null, and say which acts take one."""

    def refuse(value: Any) -> None:
        if value is not None:
            raise ValueError(f"this act takes none; {who_does}")

    return BeforeValidator(refuse)


Reason = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_plain)]
Symbol = Annotated[str, Field(pattern=r"^[\w./-]{1,40}$")]
Hours = Annotated[float | None, Field(ge=1 / 60, le=24 * 366 * 10, allow_inf_nan=False)]
NoSymbol = Annotated[None, _none("close, ban and lift do")]
NoHours = Annotated[None, _none("ban does")]


class OfTheVariant(BaseModel):
    """Why."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason
    symbol: NoSymbol = None
    hours: NoHours = None


class OfASymbol(BaseModel):
    """Why, and of which symbol."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason
    symbol: Symbol
    hours: NoHours = None


class OfABan(BaseModel):
    """Why, of which symbol and for how many hours (default 24)."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason
    symbol: Symbol
    hours: Hours = None


@dataclass(frozen=True, slots=True)
class Done:
    """What was done, by whom, and what came of it in a sentence."""

    act: str
    variant: str
    by: str
    outcome: str


def _act(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return router.post(
        f"/variants/{{variant}}/acts/{name}", response_model=Envelope[Done], responses={409: {"model": ErrorEnvelope}}
    )


@_act("pause")
async def pause(context: Context, viewer: CanAct, variant: VariantInPath, body: OfTheVariant) -> Response:
    """Block entries until a resume; exits go on."""
    return await _at_once(context, viewer, variant, "pause", Wanted(body.reason))


@_act("resume")
async def resume(context: Context, viewer: CanAct, variant: VariantInPath, body: OfTheVariant) -> Response:
    """End the pause."""
    return await _at_once(context, viewer, variant, "resume", Wanted(body.reason))


@_act("trip")
async def trip(context: Context, viewer: CanAct, variant: VariantInPath, body: OfTheVariant) -> Response:
    """Trip the circuit breaker: entries are blocked until a reset."""
    return await _at_once(context, viewer, variant, "trip", Wanted(body.reason))


@_act("reset")
async def reset(context: Context, viewer: CanAct, variant: VariantInPath, body: OfTheVariant) -> Response:
    """Reset the circuit breaker."""
    return await _at_once(context, viewer, variant, "reset", Wanted(body.reason))


@_act("ban")
async def ban(context: Context, viewer: CanAct, variant: VariantInPath, body: OfABan) -> Response:
    """Let nobody enter a symbol for so many hours."""
    return await _at_once(context, viewer, variant, "ban", Wanted(body.reason, body.symbol, body.hours))


@_act("lift")
async def lift(context: Context, viewer: CanAct, variant: VariantInPath, body: OfASymbol) -> Response:
    """End what bars a symbol."""
    return await _at_once(context, viewer, variant, "lift", Wanted(body.reason, body.symbol))


@_act("close")
async def close(context: Context, viewer: CanAct, variant: VariantInPath, body: OfASymbol) -> Response:
    """Close the position of one symbol; answers once the database shows it, which can take two minutes."""
    await _open_positions(context, variant)
    return await _closed(context, "close", Order(variant, body.symbol, "manual", body.reason, viewer.name))


@_act("flatten")
async def flatten(context: Context, viewer: CanAct, variant: VariantInPath, body: OfTheVariant) -> Response:
    """Close every position; answers once the database shows it, which can take two minutes."""
    if not await _open_positions(context, variant):  # what the process would say, some seconds later
        return answer(Done("flatten", variant, viewer.name, "nothing was open"))
    return await _closed(context, "flatten", Order(variant, None, "kill_switch", body.reason, viewer.name))


@router.post("/variants/{variant}/acts/{name}", include_in_schema=False)
async def no_act(viewer: CanAct, variant: VariantInPath, name: str) -> Response:
    """Say which acts there are."""
    raise Refused(404, "not_found", f"there is no such act; there is: {', '.join(NAMES)}")


async def _open_positions(context: PanelContext, variant: str) -> bool:
    """Return whether any is open; refuses a variant that is unknown or away before a process is started for it."""
    return bool(await context.ask(variant, lambda database: PostgresStore(database).open_positions()))


async def _closed(context: PanelContext, name: str, order: Order) -> Response:
    async with context.closings:
        outcome = await close_apart(context.project, order)
    return answer(Done(name, order.variant, order.actor, outcome))


async def _at_once(context: PanelContext, viewer: Viewer, variant: str, name: str, wanted: Wanted) -> Response:
    """Act on a connection of its own: those of the readings cannot write, and a database that is away is never made."""
    address = await context.ask(variant, lambda database: database.address)

    def run() -> str:
        with closing(Database(variant, address)) as database:
            return act(database, name, wanted, actor=viewer.name)

    return answer(Done(name, variant, viewer.name, await asyncio.to_thread(run)))
