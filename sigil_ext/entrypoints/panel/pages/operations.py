"""The operations page: what the probe found, alerts and their delivery, audits, schema, jobs, what people did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from starlette.responses import Response

from sigil_ext.entrypoints.panel.auth import PageViewer
from sigil_ext.entrypoints.panel.context import Answer, Context
from sigil_ext.entrypoints.panel.pages.rendering import page
from sigil_ext.services.board_operations import OperationsPage, operations_page

MOST_ROWS = 80
T = TypeVar("T")

router = APIRouter()


@router.get("/operations")
async def operations(request: Request, context: Context, viewer: PageViewer) -> Response:
    """Show what went on around all variants."""
    answers = await context.ask_all(operations_page)
    values: dict[str, Any] = {
        "answers": answers,
        "alerts": _newest(answers, lambda p: p.alerts, lambda a: a.at),
        "audits": _newest(answers, lambda p: p.audits, lambda a: a.at),
        "acts": _newest(answers, lambda p: p.acts, lambda a: a.at),
        "channels": [(n, c) for n, a in answers.items() if a.value for c in a.value.channels],
        "jobs": [(n, *job) for n, a in answers.items() if a.value for job in a.value.jobs],
    }
    return page(request, "operations.html", values)


def _newest(
    answers: Mapping[str, Answer[OperationsPage]],
    of: Callable[[OperationsPage], Iterable[T]],
    at: Callable[[T], datetime],
) -> list[tuple[str, T]]:
    rows = [(name, row) for name, answer in answers.items() if answer.value for row in of(answer.value)]
    return sorted(rows, key=lambda pair: at(pair[1]), reverse=True)[:MOST_ROWS]
