"""A panel over four variants as they may be: one with a paper session's real record, one with rows of our own, one whose
server is not there, one whose server takes connections and says nothing."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sigil_ext.db import migrate
from sigil_ext.db.connection import Database
from sigil_ext.settings.environment import variant_key
from sigil_ext.settings.project import Project
from tests.panel_server import Panel, serving, write_env

ROOT = Path(__file__).resolve().parents[3]
RECORDED = "unhinged"
SYMBOLS = ("TST", "LISTA", "BID")
FINISH = "2025-06-19"


@pytest.fixture(scope="session")
def settings_of_nobody() -> Iterator[None]:
    """No SIGIL_ or POSTGRES_ variable of this machine, for fixtures that outlive a test."""
    with pytest.MonkeyPatch.context() as patch:
        for key in list(os.environ):
            if key.startswith(("SIGIL_", "POSTGRES_", "PG")) or key in ("PASSWORD", "APP_HOST", "APP_PORT"):
                patch.delenv(key)
        yield


@pytest.fixture(scope="session")
def recorded(server: Project, new_database: Callable[..., Database], tmp_path_factory: Any) -> Database:
    """The database of a real session over three symbols of the sample, stopped with a position open."""
    database = new_database(RECORDED)
    migrate.up(database, server.migrations)
    home = new_home(tmp_path_factory.mktemp("recorded"))
    candles = home.root / "candles"
    candles.mkdir()
    for symbol in SYMBOLS:
        (candles / f"{symbol}USDT-1m.parquet").symlink_to(ROOT / "sample" / f"{symbol}USDT-1m.parquet")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "SIGIL_"))}
    subprocess.run(
        [sys.executable, "-m", "sigil_ext", "run", "paper", "--variant", RECORDED, "--candles", str(candles),
         "--finish", FINISH, "--keep-open"],
        cwd=home.root, check=True, capture_output=True, timeout=280,
        env=environment | {"SIGIL_HOME": str(home.root), variant_key(RECORDED): address_of(database)},
    )  # fmt: skip
    return database


@pytest.fixture(scope="module")
def home(settings_of_nobody: None, own: Database, tmp_path_factory: Any) -> Project:
    """The project of `small`."""
    made = new_home(tmp_path_factory.mktemp("home"))
    write_env(made, {"baseline": address_of(own)})
    return made


@pytest.fixture(scope="module")
def small(home: Project) -> Iterator[Panel]:
    """A panel of baseline alone."""
    with serving(home) as panel:
        yield panel


def new_home(root: Path) -> Project:
    for name in ("overlays", "migrations", "strategies", "sample"):
        (root / name).symlink_to(ROOT / name)
    return Project(root, root / "storage")


def address_of(database: Database) -> str:
    return database.address.url().get_secret_value()


@pytest.fixture(scope="module")
def own(server: Project, new_database: Callable[..., Database], migrated_template: str) -> Database:
    """A fresh database of baseline for what the tests of a file write."""
    return new_database("baseline", migrated_template)


@pytest.fixture(scope="module")
def silent() -> Iterator[int]:
    """A port where connections are taken and nothing is ever said."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0), backlog=64)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture(scope="module")
def nobody() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def panel(
    settings_of_nobody: None, recorded: Database, own: Database, nobody: int, tmp_path_factory: Any
) -> Iterator[Panel]:
    """A panel of baseline and unhinged; moderate's server is not there, aggressive never ran."""
    home = new_home(tmp_path_factory.mktemp("home"))
    write_env(
        home,
        {
            RECORDED: address_of(recorded),
            "baseline": address_of(own),
            "moderate": f"postgresql://eva:a-secret-password@127.0.0.1:{nobody}/sigil_moderate",
        },
    )
    with serving(home) as running:
        yield running
