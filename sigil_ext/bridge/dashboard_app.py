"""Jesse's own `run` with another application in front of Jesse's, on the same server and address. Start at `run_jesse`."""

from __future__ import annotations

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
        mine = scope["type"] in ("http", "websocket") and (path == self.prefix or path.startswith(self.prefix + "/"))
        await (self.ours if mine else self.app)(scope, receive, send)


def run_jesse(arguments: Sequence[str], ours: AsgiApp, prefix: str) -> None:
    """Run `jesse <arguments>` in this process with `ours` under `prefix` of its server. Ends with the process."""
    # The module of the application alone: what Jesse's command does before it loads the rest of Jesse must come first.
    from jesse.services.web import fastapi_app

    fastapi_app.add_middleware(InFront, ours=ours, prefix=prefix)
    from jesse.cli import cli

    sys.argv = ["jesse", *arguments]
    cli()
