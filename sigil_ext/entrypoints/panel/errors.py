"""Every error of the panel's server in one shape: {"error": {"code", "message", "field"?}, "meta": {...}}.

A message says what the caller did or can do; never an address, a query, a file of this machine or a traceback. Pages are
answered as pages: `pages.error_page`, if there is one, else the same sentence as plain text. Start at `install`.
"""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response

from sigil_ext.entrypoints.panel.api.envelope import meta
from sigil_ext.entrypoints.panel.auth import LoginNeeded, Refused, login_url
from sigil_ext.entrypoints.panel.context import VariantAway
from sigil_ext.errors import SigilError, UnknownSymbol, UnknownVariant, UsageError

_log = logging.getLogger(__name__)
_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "unsupported_media_type"}


def install(app: FastAPI) -> None:
    """Let `app` answer every error in the one shape."""
    app.add_exception_handler(LoginNeeded, _to_login)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(VariantAway, _away)
    app.add_exception_handler(SigilError, _said)
    app.add_exception_handler(Exception, _unexpected)


def problem(
    status: int, code: str, message: str, field: str | None = None, headers: dict[str, str] | None = None
) -> JSONResponse:
    """Return the answer for an error."""
    error: dict[str, Any] = {"code": code, "message": message}
    if field is not None:
        error["field"] = field
    return JSONResponse({"error": error, "meta": meta()}, status, headers=headers)


async def _to_login(request: Request, error: Exception) -> Response:
    assert isinstance(error, LoginNeeded)
    return RedirectResponse(login_url(error.next_path), status_code=303)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    return problem(error.status, error.code, error.sentence, headers=headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    field = ".".join(place[1:]) or place[0]
    said = first["msg"].removeprefix("Value error, ")
    return problem(422, "invalid", f"{field}: {said[0].lower()}{said[1:]}", field)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "refused")
    said = {404: "there is nothing at this address", 405: "this address does not take that method"}
    return problem(
        error.status_code, code, said.get(error.status_code, str(error.detail)), headers=dict(error.headers or {})
    )


async def _away(request: Request, error: Exception) -> Response:
    assert isinstance(error, VariantAway)
    return problem(503, f"variant_{error.away.kind}", error.away.said, headers={"Retry-After": "5"})


async def _said(request: Request, error: Exception) -> Response:
    if isinstance(error, UnknownVariant | UnknownSymbol):
        return problem(404, "unknown_variant" if isinstance(error, UnknownVariant) else "unknown_symbol", str(error))
    if isinstance(error, UsageError):
        return problem(409, "refused", str(error))
    _log.error("a request could not be answered: %s", error)
    return problem(503, "unavailable", "this cannot be answered now; the server's log says why")


async def _unexpected(request: Request, error: Exception) -> Response:
    _log.error("unexpected error", exc_info=error)
    return problem(500, "internal", "something went wrong here; the server's log says what")
