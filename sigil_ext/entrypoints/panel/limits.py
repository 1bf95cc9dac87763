"""What no caller may exceed, before any handler runs: size and time of a request, requests a minute, logins a minute,
websockets that proved nothing yet; and the headers that keep a browser from doing what no page of ours asked for.

Pure ASGI, so that streams pass untouched. Start at `Guarded`.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from sigil_ext.entrypoints.panel.auth import LOGIN_PATH, UNAUTHORIZED, keys_of
from sigil_ext.entrypoints.panel.errors import problem, told
from sigil_ext.entrypoints.panel.rates import Rate

_log = logging.getLogger(__name__)
_CSP = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none';"
    " form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_METHODS = ("GET", "HEAD", "POST")
_STATIC = "/sigil/static/"
_NOT_GUESSED = 32  # characters; openssl rand -hex 32 makes 64


@dataclass(frozen=True, slots=True)
class Limits:
    """What one caller may ask for; a caller is a token, a session, or without either an address.

    Strangers are addresses that were answered 401, or 4401 over the websocket. They wait, whatever they show next, so that
    tokens cannot be guessed quickly; but a token or session that was right before goes on, and one that is too long to be
    guessed is looked at first. What pages of other sites make a browser ask for is counted apart from what its owner asks
    for.
    """

    body_bytes: int = 16_384
    query_bytes: int = 8_192
    seconds: float = 15.0
    act_seconds: float = 150.0
    requests_a_minute: int = 1200
    burst: int = 240
    strangers_a_minute: int = 60
    strangers_burst: int = 60
    logins_a_minute: int = 10
    unproven_sockets: int = 250  # of one address
    unproven_sockets_in_all: int = 500
    callers_kept: int = 10_000


class _TooLarge(HTTPException):
    """The body is larger than anything that is asked for here. Of this kind, so that who reads it lets it through."""

    def __init__(self, most: int) -> None:
        super().__init__(413, f"the body is larger than {most} bytes")


class Guarded:
    """The application behind its limits."""

    def __init__(
        self, app: ASGIApp, limits: Limits | None = None, served: Callable[[str, str, int, float], None] | None = None,
        knows: Callable[[HTTPConnection], bool] = lambda _: False, own: Callable[[HTTPConnection], bool] = lambda _: True,
    ) -> None:  # fmt: skip
        """Put `app` behind `limits`.

        Args:
            served: told method, route, status and seconds of each request. knows: whether a request shows a right token
                or session. own: False for what a page of another site made a browser ask for.
        """
        self.app, self.limits, self._noted, self._knows, self._own = app, limits or Limits(), served, knows, own
        self._proven: OrderedDict[str, None] = OrderedDict()  # digests of secrets that were right
        self._unproven: Counter[str] = Counter()  # websockets by address
        one = self.limits
        self._known = Rate(one.requests_a_minute, one.burst, one.callers_kept)
        self._strangers = Rate(one.strangers_a_minute, one.strangers_burst, one.callers_kept)
        self._logins = Rate(one.logins_a_minute, one.logins_a_minute, one.callers_kept)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._listen(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        sender = _Sender(send, revalidate=scope["path"].startswith(_STATIC))
        asked = HTTPConnection(scope)
        caller = _Caller.of(asked, own=self._own(asked))
        if (wait_s := self._wait_s(asked, caller)) > 0:
            await _too_many(scope, wait_s)(scope, receive, sender)
            return
        if "\0" in scope["path"]:
            await problem(404, "not_found", "there is no such address")(scope, receive, sender)
            return
        if len(scope.get("query_string", b"")) > self.limits.query_bytes:
            await problem(413, "too_large", "the address is too long")(scope, receive, sender)
            return
        began = time.perf_counter()
        await self._served(scope, self._measured(asked.headers, receive), sender)
        if self._noted is not None:
            route = getattr(scope.get("route"), "path", "other")
            self._noted(
                scope["method"] if scope["method"] in _METHODS else "other",
                route,
                sender.status,
                time.perf_counter() - began,
            )
        if sender.status == 401:  # a stranger: whoever guesses tokens is slowed down by address, whatever token it was
            self._guessed(caller)
        elif caller.key in self._proven or (caller.key != caller.address and self._knows(asked)):
            self._proven[caller.key] = None
            self._proven.move_to_end(caller.key)
            while len(self._proven) > self.limits.callers_kept:
                self._proven.popitem(last=False)

    async def _listen(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a websocket through; one that proved nothing yet is counted until it is told something or ends."""
        asked = HTTPConnection(scope)
        caller = _Caller.of(asked, own=self._own(asked))
        wait_s = self._wait_s(asked, caller)
        known, unproven = self._knows(asked), self._unproven
        full = (
            unproven[caller.address] >= self.limits.unproven_sockets
            or unproven.total() >= self.limits.unproven_sockets_in_all
        )
        if wait_s > 0 or (full and not known):
            refusal = _too_many(scope, wait_s)
            for name in ("content-length", "content-type"):
                del refusal.headers[name]  # uvicorn has them already, and adds these to its own
            await WebSocket(scope, receive, send).send_denial_response(refusal)
            return
        counted, heard = not known, False

        def proven() -> None:
            nonlocal counted
            if counted:
                counted = False
                unproven[caller.address] -= 1
                if not unproven[caller.address]:
                    del unproven[caller.address]

        async def watched(message: Message) -> None:
            nonlocal heard
            if message["type"] == "websocket.send":
                heard = True
                proven()
            elif message["type"] == "websocket.close" and message.get("code") == UNAUTHORIZED and not heard:
                self._guessed(caller)
            await send(message)

        if counted:
            unproven[caller.address] += 1
        try:
            await self.app(scope, receive, watched)
        finally:
            proven()

    def _guessed(self, caller: _Caller) -> None:
        self._strangers.wait_s(caller.address, time.monotonic())

    def _wait_s(self, asked: HTTPConnection, caller: _Caller) -> float:
        now, path = time.monotonic(), asked.scope["path"]
        if path.startswith(_STATIC):
            return 0.0
        if path == LOGIN_PATH and asked.scope.get("method") == "POST":
            return self._logins.wait_s(caller.address, now)
        sockets = asked.scope["type"] == "websocket"  # counted while they are open; many come at once after an outage
        wait_s = 0.0 if sockets else self._known.wait_s(caller.key, now)
        if caller.key in self._proven or path == LOGIN_PATH or (caller.not_guessed and self._knows(asked)):
            return wait_s
        return max(wait_s, self._strangers.wait_s(caller.address, now, take=False))

    async def _served(self, scope: Scope, receive: Receive, sender: _Sender) -> None:
        acting = "/acts/" in scope["path"] and scope["method"] == "POST"
        limit = self.limits.act_seconds if acting else self.limits.seconds
        refusal: Response | None = None
        try:
            async with asyncio.timeout(limit):
                await self.app(scope, receive, sender)
        except _TooLarge as error:
            refusal = problem(413, "too_large", error.detail)
        except TimeoutError:
            refusal = told(Request(scope), 503, "too_slow", f"this took longer than {limit:g} s and was given up")
        except Exception as error:  # noqa: BLE001 - the last place that can answer; the log keeps the traceback
            _log.error("unexpected error", exc_info=error)
            refusal = told(Request(scope), 500, "internal", "something went wrong here; the server's log says what")
        if refusal is not None and not sender.status:
            await refusal(scope, receive, sender)

    def _measured(self, headers: Headers, receive: Receive) -> Receive:
        length = headers.get("content-length", "0")
        limit, seen = self.limits.body_bytes, 0

        async def measured() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > limit or (length.isdigit() and int(length) > limit):
                    raise _TooLarge(limit)
            return message

        return measured


class _Sender:
    """Adds the headers that every answer has unless its handler said otherwise, and remembers the status."""

    def __init__(self, send: Send, *, revalidate: bool) -> None:
        self._send = send
        self._headers = {**_HEADERS, "Cache-Control": "no-cache"} if revalidate else _HEADERS
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in self._headers.items():
                headers.setdefault(name, value)
        await self._send(message)


@dataclass(frozen=True, slots=True)
class _Caller:
    """Whose requests are counted together, and the address. A secret is never kept, only its digest."""

    key: str
    address: str
    not_guessed: bool

    @classmethod
    def of(cls, asked: HTTPConnection, *, own: bool) -> _Caller:
        address = asked.client.host if asked.client else "unknown"
        if not own:
            address += " for other sites"
        secret = asked.headers.get("authorization") or asked.cookies.get(keys_of(asked).cookie_name)
        if not secret:
            return cls(address, address, False)
        digest = hashlib.blake2b(secret.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return cls(digest, address, len(secret.rpartition(" ")[2]) >= _NOT_GUESSED)


def _too_many(scope: Scope, wait_s: float) -> Response:
    after_s = int(wait_s) + 1
    said = f"too many requests; wait {after_s} s"
    return told(
        Request({**scope, "type": "http", "method": scope.get("method", "GET")}),
        429,
        "too_many_requests",
        said,
        None,
        {"Retry-After": str(after_s)},
    )
