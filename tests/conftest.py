"""Fixtures that several rooms share: a PostgreSQL server for the session, and a fresh migrated database for a test."""

from __future__ import annotations

import itertools
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import hypothesis
import psycopg2
import pytest
import structlog

from sigil_ext.db import embedded, migrate
from sigil_ext.db.connection import EMBEDDED, Database
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.entrypoints.cli.logs import Passing
from sigil_ext.entrypoints.cli.main import main
from sigil_ext.settings.environment import DatabaseAddress
from sigil_ext.settings.project import Project

ROOT = Path(__file__).resolve().parents[1]

# A first example may compile a rule or meet a busy machine; how long one takes is no law of anything here.
hypothesis.settings.register_profile("sigil", deadline=None)
hypothesis.settings.load_profile("sigil")

_numbers = itertools.count(1)


class Ran(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests must not find the databases of whoever runs them."""
    for key in list(os.environ):
        if key.startswith(("SIGIL_", "POSTGRES_", "PG")) or key in ("PASSWORD", "APP_HOST", "APP_PORT"):
            monkeypatch.delenv(key)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with a running embedded server of its own; stopped when the session ends, whatever failed."""
    project = _make_project(tmp_path_factory.mktemp("server"))
    try:
        embedded.ensure_running(project)
        # These databases need not survive a power cut, and the disk is most of the time. Tests of durability have servers
        # of their own.
        _administer(project, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        yield project
    finally:
        embedded.stop(project)


@pytest.fixture
def empty_project(tmp_path: Path) -> Iterator[Project]:
    """A project with nothing in storage; a server that was started there is stopped."""
    project = _make_project(tmp_path / "project")
    yield project
    embedded.stop(project)


@pytest.fixture(autouse=True)
def _logs_of_their_own() -> Iterator[None]:
    """A command that ran in this process sends logs to the stderr of its test, which is closed afterwards."""
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
        root = logging.getLogger()
        for handler in [h for h in root.handlers if isinstance(h, Passing)]:
            root.removeHandler(handler)


@pytest.fixture
def sigil(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run the command line in this process: sigil("db", "status", project=...) -> status, stdout, stderr."""

    def run(*arguments: str, project: Project | None = None) -> Ran:
        if project is not None:
            monkeypatch.setenv("SIGIL_HOME", str(project.root))
        monkeypatch.setattr(sys, "argv", ["sigil", *arguments])
        capsys.readouterr()
        try:
            main()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        out, err = capsys.readouterr()
        return Ran(status, out, err)

    return run


@pytest.fixture(scope="session")
def new_database(server: Project) -> Callable[..., Database]:
    """Make an empty database, or a copy of `template`, on the session's server: new_database(variant, template)."""
    address = embedded.ensure_running(server)

    def make(variant: str = "baseline", template: str = "template0") -> Database:
        name = f"test_{next(_numbers)}"
        _administer(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return Database(
            variant, DatabaseAddress(address.host, address.port, address.user, address.password, name, EMBEDDED)
        )

    return make


@pytest.fixture(scope="session")
def migrated_template(server: Project, new_database: Callable[..., Database]) -> str:
    """The name of a migrated database of `baseline` that tests copy."""
    database = new_database()
    migrate.up(database, server.migrations)
    return database.address.name


@pytest.fixture
def empty_database(server: Project, new_database: Callable[..., Database]) -> Iterator[Database]:
    """A database with nothing in it."""
    database = new_database()
    yield database
    _drop(server, database)


@pytest.fixture
def database(server: Project, new_database: Callable[..., Database], migrated_template: str) -> Iterator[Database]:
    """A fresh database of `baseline` at the newest version."""
    database = new_database(template=migrated_template)
    yield database
    _drop(server, database)


@pytest.fixture
def postgres_store(database: Database) -> PostgresStore:
    """A store on a fresh database."""
    return PostgresStore(database)


def _make_project(root: Path) -> Project:
    root.mkdir(exist_ok=True)
    for name in ("overlays", "migrations", "strategies", "sample"):
        (root / name).symlink_to(ROOT / name)
    return Project(root, root / "storage")


def _drop(server: Project, database: Database) -> None:
    database.close()
    _administer(server, f'DROP DATABASE "{database.address.name}" WITH (FORCE)')


def _administer(server: Project, *statements: str) -> None:
    address = embedded.ensure_running(server)
    with closing(
        psycopg2.connect(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password.get_secret_value(),
            dbname="postgres",
            **embedded.CLIENT_OPTIONS,
        )
    ) as link:
        link.autocommit = True
        with link.cursor() as cur:
            for statement in statements:
                cur.execute(statement)
