"""Jesse's own `run` with another application in front of Jesse's, on the same server and address. Start at `run_jesse`."""

from __future__ import annotations

import html
import sys
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

Scope = MutableMapping[str, Any]
AsgiApp = Callable[[Scope, Any, Any], Awaitable[None]]


class InFront:
    """Sends requests under `prefix` to `ours` and all others on to Jesse.

    It stands before Jesse's own middleware on purpose: Jesse lets every origin read its answers, and that must not hold for
    what is served under `prefix`.
    """

    def __init__(self, app: AsgiApp, ours: AsgiApp, prefix: str) -> None:
        self.app, self.ours, self.prefix = app, ours, prefix

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        if scope["type"] in ("http", "websocket") and (path == self.prefix or path.startswith(self.prefix + "/")):
            await self.ours(scope, receive, send)
        elif scope["type"] == "http" and _wants_page(scope):
            # Plain and whole: a packed page, or "not modified", would have no room for the link.
            headers = [(name, value) for name, value in scope["headers"] if name not in _NOT_WHOLE]
            await self.app({**scope, "headers": headers}, receive, _Linked(send, f"{self.prefix}/"))
        else:
            await self.app(scope, receive, send)


_NOT_WHOLE = (b"accept-encoding", b"if-none-match", b"if-modified-since", b"range")
_LINK = (
    '<a id="sigil-panel" href="{to}" style="position:fixed;right:12px;bottom:12px;z-index:2147483000;padding:6px 12px;'
    "border-radius:8px;background:#1f2937;color:#f9fafb;font:600 13px/1.4 system-ui,sans-serif;text-decoration:none;"
    'box-shadow:0 1px 4px rgba(0,0,0,.4)">Sigil panel</a>'
)


def _wants_page(scope: Scope) -> bool:
    return scope["method"] == "GET" and any(
        name == b"accept" and b"text/html" in value for name, value in scope["headers"]
    )


class _Linked:
    """Puts a link to the panel into a page of Jesse's dashboard, which has no place of its own for one.

    It stands outside of what Jesse's scripts draw, so they leave it alone on every page that they show.
    """

    def __init__(self, send: Any, to: str) -> None:
        self._send, self._link = send, _LINK.format(to=html.escape(to)).encode()
        self._start: MutableMapping[str, Any] | None = None
        self._body = b""

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start" and _is_page(message):
            self._start = message
        elif self._start is not None and message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                await self._finish(self._start)
        else:
            await self._send(message)

    async def _finish(self, start: MutableMapping[str, Any]) -> None:
        before, end, after = self._body.rpartition(b"</body>")
        body = before + self._link + end + after if end else self._body
        kept = [(n, v) for n, v in start["headers"] if n not in (b"content-length", b"etag", b"last-modified")]
        start["headers"] = [*kept, (b"content-length", str(len(body)).encode())]
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})


def _is_page(message: MutableMapping[str, Any]) -> bool:
    headers = dict(message["headers"])
    packed = headers.get(b"content-encoding", b"identity") != b"identity"
    return headers.get(b"content-type", b"").startswith(b"text/html") and not packed


def run_jesse(arguments: Sequence[str], ours: AsgiApp, prefix: str) -> None:
    """Run `jesse <arguments>` in this process with `ours` under `prefix` of its server. Ends with the process."""
    # The module of the application alone: what Jesse's command does before it loads the rest of Jesse must come first.
    from jesse.services.web import fastapi_app

    fastapi_app.add_middleware(InFront, ours=ours, prefix=prefix)
    from jesse.cli import cli

    sys.argv = ["jesse", *arguments]
    cli()
