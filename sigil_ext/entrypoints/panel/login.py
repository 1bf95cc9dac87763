"""Login and logout: Jesse's token against a session cookie. See `auth` for what the cookie means.

The page (templates/login.html, static/login.js) asks for the password, or sends by itself the token that Jesse's pages
keep in the local storage of this origin (key `main`, field `authToken`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.templating import Jinja2Templates

from sigil_ext.entrypoints.panel.auth import (
    LOGIN_PATH,
    SESSION_S,
    Refused,
    from_this_origin,
    identify,
    keys_of,
    safe_next,
    token_of,
)

router = APIRouter()
LONGEST_PASSWORD = 2000
_templates = Jinja2Templates(directory=Path(__file__).parent / "templates")


class Login(BaseModel):
    """What the login page sends: the password, or the token that Jesse made of it."""

    password: str = Field(default="", max_length=LONGEST_PASSWORD)
    token: str = Field(default="", max_length=200)


@router.get(LOGIN_PATH, include_in_schema=False)
async def login_page(
    request: Request, next_path: Annotated[str, Query(alias="next", max_length=500)] = "/sigil/"
) -> Response:
    """Show the login page; who is logged in goes on at once, also when its script asks (see login.js)."""
    viewer = identify(request)
    if viewer is not None and viewer.by == "session":
        return RedirectResponse(safe_next(next_path), status_code=303)
    return _templates.TemplateResponse(request, "login.html", {"next_path": safe_next(next_path)})


@router.post(LOGIN_PATH, include_in_schema=False)
async def login(request: Request, given: Login) -> Response:
    """Trade the dashboard's token for a session cookie."""
    if not from_this_origin(request):
        raise Refused(403, "cross_site", "a login must come from the panel's own page")
    keys = keys_of(request)
    token = given.token or token_of(given.password)
    if not keys.accepts_password_token(token):
        raise Refused(401, "wrong_password", "wrong password")
    answer = JSONResponse({"data": {"logged_in": True}})
    answer.set_cookie(
        keys.cookie_name, keys.new_session(), max_age=SESSION_S, path="/sigil", httponly=True, samesite="strict",
        secure=request.url.scheme == "https",
    )  # fmt: skip
    return answer


@router.post("/sigil/logout", include_in_schema=False)
async def logout(request: Request) -> Response:
    """End the session, on the server too: a copy of its cookie is worth nothing any more. Jesse's own login stays."""
    if not from_this_origin(request):
        raise Refused(403, "cross_site", "a logout must come from the panel's own page")
    keys = keys_of(request)
    if cookie := request.cookies.get(keys.cookie_name):
        keys.end_session(cookie)
    answer = RedirectResponse(f"{LOGIN_PATH}?stay=1", status_code=303)
    answer.delete_cookie(keys.cookie_name, path="/sigil", httponly=True, samesite="strict")
    return answer
