"""The panel as one ASGI application: routers, login, static files, errors in one shape. Start at `create_app`.

Every path begins with /sigil, so the same application stands alone (`server.py`) or in front of Jesse's
(`bridge/dashboard_app.py`).
"""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from sigil_ext import __version__
from sigil_ext.entrypoints.panel import api, errors, login, metrics, pages
from sigil_ext.entrypoints.panel.auth import Keys, from_this_origin, identify
from sigil_ext.entrypoints.panel.context import PanelContext
from sigil_ext.entrypoints.panel.heads import Heads
from sigil_ext.entrypoints.panel.hub import Hub
from sigil_ext.entrypoints.panel.limits import Guarded, Limits
from sigil_ext.entrypoints.panel.metrics import Meter
from sigil_ext.services.dashboard import password_of
from sigil_ext.settings.environment import load_environment

PREFIX = "/sigil"
HERE = Path(__file__).parent


def create_app(context: PanelContext, limits: Limits | None = None) -> FastAPI:
    """Return the panel of `context`'s project. Keys are read once; a new password or token needs a restart.

    Raises:
        SettingsError: `.env` is refused.
    """
    environment = load_environment(context.project)
    app = FastAPI(
        title="Sigil", version=__version__, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
    )
    app.state.context = context
    app.state.keys = Keys(
        context.project,
        password_of(context.project)[0],
        environment.api_token.get_secret_value() if environment.api_token else None,
        environment.api_act_token.get_secret_value() if environment.api_act_token else None,
    )
    app.state.hub, app.state.meter = Hub(context), Meter()
    app.include_router(login.router)
    app.include_router(metrics.router)
    app.include_router(api.router)
    app.include_router(api.socket_router)
    app.include_router(pages.router)
    app.mount("/sigil/static", StaticFiles(directory=HERE / "static"), name="static")
    errors.install(app)
    app.add_middleware(Heads)
    app.add_middleware(
        Guarded,
        limits=limits,
        served=app.state.meter.served,
        knows=lambda asked: identify(asked) is not None,
        own=from_this_origin,
    )
    context.acts_enabled = environment.api_act_token is not None
    return app
