"""Who may read and who may act: the password's session cookie for people, bearer tokens for programs.

People: `POST /sigil/login` takes Jesse's own token (sha256 of the dashboard's password, which Jesse's pages keep in the
local storage of the same origin) and answers with a signed cookie, HttpOnly and SameSite=Strict. The login page sends the
token that it finds there by itself, so whoever is logged in to Jesse is logged in here. The cookie holds no secret, only
an end and a signature; a logout ends it for every copy (see `sessions`), another password or another key under storage/
ends every session. The cookie does not come along when a link of another site leads here: the login page then asks once by
itself, from this origin, and goes on.

Programs: `Authorization: Bearer ...` with SIGIL_API_TOKEN (reads) or SIGIL_API_ACT_TOKEN (reads and acts). No token
configured: no access.

A request that rides on the cookie must come from this very origin (host and port: SameSite alone does not tell ports
apart), and an act must also carry the header X-Sigil-CSRF, which the pages get from `csrf_token`.

Dependencies: `require_viewer` / `require_operator` for the API (401/403 in the API's error shape); `page_viewer` for pages
(redirects to the login page). All return a `Viewer`.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import quote, urlsplit

from fastapi import Depends
from starlette.requests import HTTPConnection

from sigil_ext.entrypoints.panel.context import context_of
from sigil_ext.entrypoints.panel.sessions import EndedSessions, own_key
from sigil_ext.settings.project import Project

CSRF_HEADER = "X-Sigil-CSRF"
SESSION_S = 7 * 24 * 3600
LOGIN_PATH = "/sigil/login"
UNAUTHORIZED = 4401  # what 401 is over a websocket


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks: `by` is a session of a person or a token; `name` is what an act is recorded with."""

    by: Literal["session", "token"]
    may_act: bool
    name: str
    nonce: str = ""


class Refused(Exception):
    """The request is not answered: an HTTP status, a code for programs, a sentence for people."""

    def __init__(self, status: int, code: str, sentence: str, field: str | None = None) -> None:
        super().__init__(sentence)
        self.status, self.code, self.sentence, self.field = status, code, sentence, field


class LoginNeeded(Exception):
    """A page was asked for without a session; `next_path` is where to go after the login."""

    def __init__(self, next_path: str) -> None:
        super().__init__(next_path)
        self.next_path = next_path


class Keys:
    """The password and the tokens of one project, and the key that signs its sessions."""

    def __init__(self, project: Project, password: str | None, token: str | None, act_token: str | None) -> None:
        self._password_token = token_of(password) if password else None
        self._token, self._act_token = token or None, act_token or None
        self._ended = EndedSessions(project)
        own = own_key(project)
        self._key = hashlib.sha256(own + (self._password_token or "").encode()).digest()
        # Browsers tell no ports apart: panels of several projects on one host keep a cookie each.
        self.cookie_name = f"sigil_session_{hmac.new(own, b'cookie', hashlib.sha256).hexdigest()[:8]}"

    @property
    def tokens_configured(self) -> bool:
        return self._token is not None or self._act_token is not None

    def accepts_password_token(self, token: str) -> bool:
        """Return whether `token` is Jesse's: the sha256 of the dashboard's password, in hex."""
        return self._password_token is not None and _same(token, self._password_token)

    def bearer(self, token: str) -> Literal["read", "act"] | None:
        """Return what a bearer of `token` may do; both comparisons are made whatever the first one says."""
        acts = self._act_token is not None and _same(token, self._act_token)
        reads = self._token is not None and _same(token, self._token)
        return "act" if acts else "read" if reads else None

    def new_session(self, now: float | None = None) -> str:
        """Return the cookie of a session that begins now."""
        payload = f"{int((time.time() if now is None else now) + SESSION_S)}.{secrets.token_urlsafe(12)}"
        return f"{payload}.{self._sign('session', payload)}"

    def session(self, cookie: str, now: float | None = None) -> str | None:
        """Return the payload of a cookie that was given out here and has not ended, else None."""
        payload, _, signature = cookie.rpartition(".")
        if not _same(signature, self._sign("session", payload)):
            return None
        end = payload.partition(".")[0]
        if not end.isdigit() or int(end) <= (time.time() if now is None else now) or payload in self._ended:
            return None
        return payload

    def end_session(self, cookie: str) -> None:
        """Make a session end for every copy of its cookie, here and for other servers of this project."""
        if (session := self.session(cookie)) is not None:
            self._ended.add(session)

    def csrf(self, session: str) -> str:
        """Return the token that acts of this session must carry."""
        return self._sign("csrf", session)

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()


def token_of(password: str) -> str:
    """Return the token that Jesse makes of a password."""
    return hashlib.sha256(password.encode("utf-8", "surrogatepass")).hexdigest()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


def keys_of(connection: HTTPConnection) -> Keys:
    keys: Keys = connection.app.state.keys
    return keys


def from_this_origin(connection: HTTPConnection) -> bool:
    """Return whether the browser says that a page of this very origin sent the request; True for a typed address."""
    if connection.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return False
    origin = connection.headers.get("origin")
    if origin is None:
        return True
    return _is_own(origin, connection)


def _is_own(origin: str, connection: HTTPConnection) -> bool:
    try:
        place = urlsplit(origin)
    except ValueError:
        return False
    if place.scheme not in ("http", "https"):
        return False
    return place.netloc.lower() == connection.headers.get("host", "").lower()


def identify(connection: HTTPConnection) -> Viewer | None:
    """Return who asks, None without a valid token or session."""
    keys = keys_of(connection)
    where = connection.client.host if connection.client else "unknown"
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        may = keys.bearer(token.strip())
        return None if may is None else Viewer("token", may == "act", f"api@{where}")
    cookie = connection.cookies.get(keys.cookie_name)
    session = keys.session(cookie) if cookie else None
    if session is None or not from_this_origin(connection):
        return None
    return Viewer("session", True, f"panel@{where}", session)


def csrf_token(connection: HTTPConnection) -> str:
    """Return what a page must send in X-Sigil-CSRF with an act; empty without a session."""
    viewer = identify(connection)
    return keys_of(connection).csrf(viewer.nonce) if viewer is not None and viewer.by == "session" else ""


def require_viewer(connection: HTTPConnection) -> Viewer:
    """Let through who may read.

    Raises:
        Refused: 401.
    """
    if (viewer := identify(connection)) is not None:
        return viewer
    if not keys_of(connection).tokens_configured:
        raise Refused(401, "no_token_configured", "no API token is configured; set SIGIL_API_TOKEN in .env")
    raise Refused(401, "unauthorized", "this needs Authorization: Bearer <SIGIL_API_TOKEN>")


def require_operator(connection: HTTPConnection) -> Viewer:
    """Let through who may act: the act token, or a session of this origin with its CSRF header.

    Raises:
        Refused: 401 or 403.
    """
    viewer = require_viewer(connection)
    if viewer.by == "token":
        if not viewer.may_act:
            raise Refused(403, "read_only", "this token only reads; acts need SIGIL_API_ACT_TOKEN, set in .env")
        return viewer
    origin = connection.headers.get("origin")
    if origin is None or not _is_own(origin, connection):
        raise Refused(403, "cross_site", "an act must come from the panel's own pages")
    if not _same(connection.headers.get(CSRF_HEADER, ""), keys_of(connection).csrf(viewer.nonce)):
        raise Refused(403, "csrf", f"an act of a session needs the header {CSRF_HEADER}")
    return viewer


def page_viewer(connection: HTTPConnection) -> Viewer:
    """Let a person through to a page.

    Raises:
        LoginNeeded: the application answers with a redirect to the login page.
    """
    viewer = identify(connection)
    if viewer is None or viewer.by != "session":
        query = connection.url.query
        raise LoginNeeded(connection.url.path + (f"?{query}" if query else ""))
    return viewer


def login_url(next_path: str) -> str:
    """Return the address of the login page that leads back to `next_path`."""
    return f"{LOGIN_PATH}?next={quote(next_path, safe='/')}"


def safe_next(next_path: str) -> str:
    """Return `next_path` if it is one of the panel's own, else the overview; nobody is led elsewhere."""
    fine = next_path == "/sigil" or next_path.startswith("/sigil/")
    return next_path if fine and "\\" not in next_path and "//" not in next_path else "/sigil/"


CanView = Annotated[Viewer, Depends(require_viewer)]
CanAct = Annotated[Viewer, Depends(require_operator)]
PageViewer = Annotated[Viewer, Depends(page_viewer)]

__all__ = [
    "CanAct",
    "CanView",
    "PageViewer",
    "Viewer",
    "context_of",
    "csrf_token",
    "require_operator",
    "require_viewer",
]
