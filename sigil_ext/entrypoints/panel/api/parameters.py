"""What callers may ask for, and the cursor of a page. A parameter that is wrong is a 422 that names it.

Start at `Paging` for lists, at `asked_of` for one question to several variants.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Path, Query, Request
from fastapi.dependencies.utils import get_flat_dependant
from fastapi.routing import APIRoute
from starlette.responses import Response

from sigil_ext.db.connection import Database
from sigil_ext.entrypoints.panel.api.envelope import AwayVariant, answer
from sigil_ext.entrypoints.panel.auth import Refused
from sigil_ext.entrypoints.panel.context import Answer, PanelContext, VariantAway
from sigil_ext.services.readings import Mark, Marked, Window

T = TypeVar("T")
_LARGEST = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAME = r"^[a-z][a-z0-9_]{0,39}$"

Variant = Annotated[str, Query(pattern=_NAME, description="A variant, or a session of a strategy.")]
VariantInPath = Annotated[str, Path(pattern=_NAME, description="A variant, or a session of a strategy.")]
Variants = Annotated[
    list[Annotated[str, Query(pattern=_NAME)]] | None,
    Query(alias="variant", max_length=50, description="Only these variants; repeatable. Left out: all."),
]
Symbol = Annotated[
    str | None,
    Query(pattern=r"^[\w./-]{1,40}$", description="A symbol: TST-USDT or TSTUSDT."),
]
Since = Annotated[datetime | None, Query(description="From this instant on; UTC unless it names a zone.")]
Until = Annotated[datetime | None, Query(description="Before this instant; UTC unless it names a zone.")]


def only_known(request: Request) -> None:
    """Refuse a query parameter that the route does not take: without it a mistyped filter would read everything.

    Raises:
        Refused: 422 with its name and those there are.
    """
    demand_known(request.query_params, _taken_by(request.scope["route"]))


def demand_known(given: Iterable[str], known: tuple[str, ...]) -> None:
    """Let through `given` if each is among `known`.

    Raises:
        Refused: 422 with the first that is not.
    """
    if (wrong := next((name for name in given if name not in known), None)) is None:
        return
    name = "".join(c for c in wrong[:40] if c.isprintable())
    there_is = f"there is: {', '.join(known)}" if known else "this address takes none"
    raise Refused(422, "invalid", f"{name}: is no parameter here; {there_is}", name)


def _taken_by(route: APIRoute) -> tuple[str, ...]:
    return tuple(parameter.alias for parameter in get_flat_dependant(route.dependant).query_params)


@dataclass(frozen=True, slots=True)
class Span:
    """From `since` on, before `until`, in UTC."""

    since: datetime | None
    until: datetime | None


def _span(since: Since = None, until: Until = None) -> Span:
    span = Span(_instant(since, "since"), _instant(until, "until"))
    if span.since is not None and span.until is not None and span.since > span.until:
        raise Refused(422, "invalid", f"until: {span.until:%Y-%m-%d %H:%M} UTC is before since", "until")
    return span


def _instant(at: datetime | None, field: str) -> datetime | None:
    if at is None:
        return None
    try:
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (OverflowError, ValueError):
        raise Refused(422, "invalid", f"{field}: is out of range", field) from None


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page over several variants ended: newest first, then by variant, then by key, largest first."""

    at: datetime
    variant: str
    key: int

    def encode(self) -> str:
        text = f"{self.at.isoformat()}|{self.variant}|{self.key}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @staticmethod
    def decode(text: str) -> Cursor:
        """Return the cursor.

        Raises:
            Refused: `text` is none that was given out.
        """
        try:
            at, variant, key = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True).decode().split("|")
            cursor = Cursor(datetime.fromisoformat(at).astimezone(UTC), variant, int(key))
        except (ValueError, OverflowError, binascii.Error):
            raise Refused(422, "invalid", "cursor: is none that was given out; begin without one", "cursor") from None
        if abs(cursor.key) > _LARGEST:
            raise Refused(422, "invalid", "cursor: is none that was given out; begin without one", "cursor")
        return cursor

    def before(self, variant: str) -> Mark:
        """Return where the rows of `variant` go on."""
        if variant == self.variant:
            return Mark(self.at, self.key)
        return Mark(self.at, _LARGEST if variant > self.variant else -_LARGEST)


@dataclass(frozen=True, slots=True)
class Paging:
    """Filters and place of a page."""

    window: Window
    cursor: Cursor | None


def _paging(
    span: Annotated[Span, Depends(_span)],
    limit: Annotated[int, Query(ge=1, le=1000, description="Rows a page.")] = 100,
    cursor: Annotated[str | None, Query(max_length=200, description="meta.next of the page before.")] = None,
) -> Paging:
    return Paging(
        Window(since=span.since, until=span.until, limit=limit),
        Cursor.decode(cursor) if cursor is not None else None,
    )


def _paging_of_symbol(paging: Annotated[Paging, Depends(_paging)], symbol: Symbol = None) -> Paging:
    return replace(paging, window=replace(paging.window, symbol=symbol))


AskedSpan = Annotated[Span, Depends(_span)]
AskedPage = Annotated[Paging, Depends(_paging)]
AskedPageOfSymbol = Annotated[Paging, Depends(_paging_of_symbol)]


async def page(
    context: PanelContext,
    variants: list[str] | None,
    paging: Paging,
    question: Callable[[Database, Window], list[Marked]],
) -> Response:
    """Return one page of the rows of several variants, merged."""
    limit = paging.window.limit

    def ask(database: Database) -> list[Marked]:
        before = paging.cursor.before(database.variant) if paging.cursor else None
        with database.one_transaction(savepoints=False):
            return question(database, replace(paging.window, before=before, limit=limit + 1))

    answers = await context.ask_all(ask, variants)
    away = _away(answers, named=bool(variants))
    merged = [(name, m) for name, found in answers.items() for m in found.value or []]
    merged.sort(key=lambda pair: (_EPOCH - pair[1].mark.at, pair[0], -pair[1].mark.key))
    kept = merged[:limit]
    following = None
    if len(merged) > limit:
        name, last = kept[-1]
        following = Cursor(last.mark.at, name, last.mark.key).encode()
    return answer([m.row for _, m in kept], away=away, next_page=following)


async def asked_of(
    context: PanelContext, variants: list[str] | None, question: Callable[[Database], T | None]
) -> Response:
    """Return what each variant says, as a list; a variant that has nothing to say is left out."""
    answers = await context.ask_all(question, variants)
    away = _away(answers, named=bool(variants))
    return answer([a.value for a in answers.values() if a.value is not None], away=away)


async def joined(
    context: PanelContext, variants: list[str] | None, question: Callable[[Database], list[T]]
) -> Response:
    """Return the lists of several variants as one."""

    def ask(database: Database) -> list[T]:
        with database.one_transaction(savepoints=False):
            return question(database)

    answers = await context.ask_all(ask, variants)
    away = _away(answers, named=bool(variants))
    return answer([row for a in answers.values() for row in a.value or []], away=away)


def _away(answers: dict[str, Answer[Any]], *, named: bool) -> list[AwayVariant]:
    """Return who is missing.

    Raises:
        VariantAway: variants were named and not one of them can be read: an empty list would say that nothing is there.
    """
    missing = [a.away for a in answers.values() if a.away is not None]
    if named and missing and len(missing) == len(answers):
        raise VariantAway(missing[0])
    return [AwayVariant(variant=a.variant, code=a.kind, message=a.said) for a in missing]
