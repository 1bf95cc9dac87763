"""The panel on a server: alone (`sigil panel`), or in front of Jesse's dashboard (`sigil run`). Start at `serve`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from sigil_ext.entrypoints.panel.app import PREFIX, create_app
from sigil_ext.entrypoints.panel.context import PanelContext
from sigil_ext.settings.project import Project, find_project


class Paced(WebSocketsSansIOProtocol):
    """uvicorn's websockets, waiting for a reader that is slow.

    Without these two methods uvicorn 0.40 takes whatever it is given into memory, and nobody ever learns who does not read.
    """

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()


class _Alone:
    """The panel with nothing beside it: every other address leads there."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] == "http" and path != PREFIX and not path.startswith(PREFIX + "/"):
            await RedirectResponse(f"{PREFIX}/", 307)(scope, receive, send)
            return
        await self.app(scope, receive, send)


def serve(project: Project, host: str, port: int) -> None:
    """Serve the panel alone until the process is told to stop."""
    import uvicorn

    app = _Alone(create_app(PanelContext(project)))
    uvicorn.run(
        app, host=host, port=port, log_level="warning", access_log=False, server_header=False, ws=Paced,
        ws_max_size=65_536, timeout_graceful_shutdown=3,
    )  # fmt: skip


def beside_jesse(arguments: Sequence[str]) -> None:
    """Run `jesse <arguments>` with the panel in front of it, in the project of the current folder."""
    from sigil_ext.bridge.dashboard_app import run_jesse

    run_jesse(arguments, create_app(PanelContext(find_project(), beside_jesse=True)), PREFIX)


if __name__ == "__main__":
    beside_jesse(sys.argv[1:])
