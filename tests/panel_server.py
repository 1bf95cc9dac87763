"""The panel's real application on a real socket, in a thread: for tests of the API, of events and of pages.

with serving(project) as panel:
    panel.get("/positions").json()
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn

from sigil_ext.entrypoints.panel.app import create_app
from sigil_ext.entrypoints.panel.context import PanelContext
from sigil_ext.entrypoints.panel.limits import Limits
from sigil_ext.entrypoints.panel.server import Paced
from sigil_ext.settings.project import Project

API = "/sigil/api/v1"
TOKEN, ACT_TOKEN, PASSWORD = "a-token-that-reads", "a-token-that-acts", "the password of the dashboard"
PLENTY = Limits(requests_a_minute=1e9, burst=1e9, strangers_a_minute=1e9, strangers_burst=1e9, logins_a_minute=1e9)


@dataclass(frozen=True)
class Panel:
    """A running panel: `base` is its address, `app` the application behind it."""

    base: str
    app: Any
    client: httpx.Client

    def get(self, path: str, token: str | None = TOKEN, **more: Any) -> httpx.Response:
        """GET a path of the API, or of the whole panel if it begins with /sigil."""
        return self.client.get(self._where(path), headers=bearer(token) | more.pop("headers", {}), **more)

    def post(self, path: str, body: Any = None, token: str | None = ACT_TOKEN, **more: Any) -> httpx.Response:
        headers = bearer(token) | more.pop("headers", {})
        return self.client.post(self._where(path), json=body, headers=headers, **more)

    @contextlib.contextmanager
    def logged_in(self) -> Iterator[httpx.Client]:
        """Yield a client with the session cookie of the password."""
        with httpx.Client(base_url=self.base, trust_env=False, timeout=60, headers={"Origin": self.base}) as client:
            answer = client.post("/sigil/login", json={"password": PASSWORD})
            assert answer.status_code == 200, answer.text
            yield client

    @property
    def cookie(self) -> str:
        """The name of the cookie of a login here."""
        name: str = self.app.state.keys.cookie_name
        return name

    @property
    def websocket(self) -> str:
        return self.base.replace("http://", "ws://") + f"{API}/events"

    def _where(self, path: str) -> str:
        return path if path.startswith("/sigil") else API + path


def bearer(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def write_env(project: Project, databases: Mapping[str, str], *, tokens: bool = True) -> None:
    """Write the project's `.env`: password, tokens, and the address of each variant's database."""
    lines = [f'PASSWORD="{PASSWORD}"']
    if tokens:
        lines += [f"SIGIL_API_TOKEN={TOKEN}", f"SIGIL_API_ACT_TOKEN={ACT_TOKEN}"]
    lines += [f"SIGIL_DATABASE_URL_{name.upper()}={url}" for name, url in databases.items()]
    project.env_file.write_text("\n".join(lines) + "\n")
    project.env_file.chmod(0o600)


@contextlib.contextmanager
def serving(project: Project, limits: Limits | None = PLENTY, deadline_s: float = 20.0) -> Iterator[Panel]:
    """Serve the panel of `project` on a free port. The deadline is generous: a loaded machine is no dead database."""
    app = create_app(PanelContext(project, deadline_s=deadline_s), limits)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_level="critical", ws=Paced, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with httpx.Client(base_url=base, trust_env=False, timeout=120) as client:
            try:
                yield Panel(base, app, client)
            finally:
                server.should_exit = True
                thread.join(30)
