"""Every error of the panel's server in one shape: {"error": {"code", "message", "field"?}, "meta": {...}}.

A message says what the caller did or can do; never an address, a query, a file of this machine or a traceback. Pages are
answered as pages. Start at `install`.
"""

from __future__ import annotations

import logging
from typing import Any

import psycopg2
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response

from sigil_ext.entrypoints.panel.api.envelope import meta
from sigil_ext.entrypoints.panel.auth import LoginNeeded, Refused, login_url
from sigil_ext.entrypoints.panel.closing import ClosingFailed
from sigil_ext.entrypoints.panel.context import VariantAway
from sigil_ext.entrypoints.panel.pages.rendering import error_page
from sigil_ext.errors import SigilError, UnknownSymbol, UnknownVariant, UsageError

_log = logging.getLogger(__name__)
_FOR_PROGRAMS = ("/sigil/api/", "/sigil/data/", "/sigil/metrics", "/sigil/static/")
_CODES = {400: "invalid", 404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "unsupported_media_type"}


def install(app: FastAPI) -> None:
    """Let `app` answer every error in the one shape."""
    app.add_exception_handler(LoginNeeded, _to_login)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(VariantAway, _away)
    app.add_exception_handler(SigilError, _said)
    app.add_exception_handler(psycopg2.Error, _database)
    app.add_exception_handler(Exception, _unexpected)


def problem(
    status: int, code: str, message: str, field: str | None = None, headers: dict[str, str] | None = None
) -> JSONResponse:
    """Return the answer for an error."""
    error: dict[str, Any] = {"code": code, "message": message}
    if field is not None:
        error["field"] = field
    return JSONResponse({"error": error, "meta": meta()}, status, headers=headers)


def told(
    request: Request,
    status: int,
    code: str,
    message: str,
    field: str | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """Return the error as whoever asked reads it: a person whose browser goes there, or a script or program."""
    accepted = request.headers.get("accept", "*/*")
    for_people = "text/html" in accepted or (request.method in ("GET", "HEAD") and "application/json" not in accepted)
    if for_people and not request.url.path.startswith(_FOR_PROGRAMS):
        answer = error_page(request, status, message)
        answer.headers.update(headers or {})
        return answer
    return problem(status, code, message, field, headers)


async def _to_login(request: Request, error: Exception) -> Response:
    assert isinstance(error, LoginNeeded)
    return RedirectResponse(login_url(error.next_path), status_code=303)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    return told(request, error.status, error.code, error.sentence, error.field, headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    if first["type"] == "json_invalid":
        return told(request, 422, "invalid", f"body: is not JSON from character {place[-1]} on", "body")
    if place == ["body"] and first["type"] == "missing":
        return told(request, 422, "invalid", "body: is empty; it has to be a JSON object", "body")
    field = ".".join(place[1:]) or place[0]
    said = first["msg"].removeprefix("Value error, ")
    if not said[:2].isupper():
        said = said[:1].lower() + said[1:]
    return told(request, 422, "invalid", f"{field}: {said}", field)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = error.status_code
    said = {
        400: "the body cannot be read; it has to be JSON",
        404: "there is nothing at this address",
        405: "this address does not take that method",
    }
    return told(
        request,
        status,
        _CODES.get(status, "refused"),
        said.get(status, str(error.detail)),
        None,
        dict(error.headers or {}),
    )


async def _away(request: Request, error: Exception) -> Response:
    assert isinstance(error, VariantAway)
    away = error.away
    return told(request, 503, f"variant_{away.kind}", away.said, headers={"Retry-After": "5"})


async def _said(request: Request, error: Exception) -> Response:
    if isinstance(error, UnknownVariant | UnknownSymbol):
        kind = "unknown_variant" if isinstance(error, UnknownVariant) else "unknown_symbol"
        return told(request, 404, kind, str(error))
    if isinstance(error, UsageError):
        return told(request, 409 if request.method == "POST" else 422, "refused", str(error))
    if isinstance(error, ClosingFailed):
        return told(request, 503, "not_done", str(error))
    _log.error("a request could not be answered: %s", error)
    return told(request, 503, "unavailable", "this cannot be answered now; the server's log says why")


async def _database(request: Request, error: Exception) -> Response:
    _log.error("a database refused: %s", type(error).__name__, exc_info=error)
    return told(request, 503, "unavailable", "the database did not do this now; the server's log says why")


async def _unexpected(request: Request, error: Exception) -> Response:
    _log.error("unexpected error", exc_info=error)
    return told(request, 500, "internal", "something went wrong here; the server's log says what")
