"""What every answer of the API looks like: {"data": ..., "meta": {"timestamp", "mode", "version", ...}}, or an error.

Numbers that are none (NaN, infinity) are null; times end in Z. Start at `answer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, Field
from pydantic_core import to_json
from starlette.responses import Response

from sigil_ext import __version__

T = TypeVar("T")


class AwayVariant(BaseModel):
    """A variant that is missing from the answer, and why."""

    variant: str
    code: Literal["absent", "unreachable", "outdated", "slow", "damaged"]
    message: str


class Meta(BaseModel):
    """About the answer: `next` is the cursor of the next page, `away` names variants whose data is missing."""

    timestamp: datetime
    mode: Literal["paper"]
    version: str
    next: str | None = None
    away: list[AwayVariant] | None = None


class Envelope(BaseModel, Generic[T]):
    """Data and what belongs to it."""

    data: T
    meta: Meta


class Error(BaseModel):
    """What went wrong: a code for programs, a sentence for people, the field that caused it."""

    code: str
    message: str
    field: str | None = Field(default=None)


class ErrorEnvelope(BaseModel):
    """The one shape of every error."""

    error: Error
    meta: Meta


def meta(**more: Any) -> dict[str, Any]:
    """Return the meta part: when (UTC), paper always, which version; and whatever else belongs to this answer."""
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return {"timestamp": now, "mode": "paper", "version": __version__, **more}


def answer(data: Any, *, away: Sequence[AwayVariant] = (), next_page: str | None = None, status: int = 200) -> Response:
    """Return `data` (dataclasses, models, plain values) in its envelope."""
    body = {"data": data, "meta": meta(next=next_page, away=[a.model_dump() for a in away])}
    return Response(to_json(body, inf_nan_mode="null"), status, media_type="application/json")
