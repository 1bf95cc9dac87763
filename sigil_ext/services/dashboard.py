"""Jesse's dashboard on the project's database: the environment that Jesse wants, then Jesse's own `run` in this process.

Start at `prepare`. What Jesse needs goes into a file of its own under storage/ (mode 0600), so that a user's `.env` may be
missing or hold nothing but a password.
"""

from __future__ import annotations

import errno
import os
import secrets
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values, set_key

from sigil_ext.db.connection import Database, create_if_missing, resolve_address
from sigil_ext.errors import UsageError
from sigil_ext.settings.environment import load_environment
from sigil_ext.settings.project import Project

BASELINE = "baseline"


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A dashboard that is ready to be started: its address, the file with its environment, where its password is."""

    url: str
    env_file: Path
    password_from: str
    root: Path


def prepare(project: Project, host: str | None = None, port: int | None = None) -> Dashboard:
    """Start the database, make Jesse's schema in it and write the environment that Jesse reads.

    Raises:
        UsageError: the folder is no Jesse project, or the port is taken. DatabaseUnavailable: no database.
    """
    if not (project.root / "strategies").is_dir() or project.storage.parent != project.root:
        raise UsageError(
            f"{project.storage.parent} is not a Jesse project: it holds no strategies/ and overlays/; "
            "run it in a checkout of Sigil, or name one with SIGIL_HOME"
        )
    project.storage.mkdir(exist_ok=True)
    environment = load_environment(project)
    bind, at = host or environment.app_host, port or environment.app_port
    demand_free_port(bind, at)
    address = resolve_address(project, BASELINE)
    create_if_missing(address)
    database = Database(BASELINE, address)
    schema = environment.postgres_schema
    with database.transaction() as cursor:
        from psycopg2 import sql

        cursor.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    database.close()

    own = project.storage / "jesse.env"
    password, password_from = password_of(project)
    values = {
        "PASSWORD": password,
        "APP_HOST": bind,
        "APP_PORT": str(at),
        "POSTGRES_HOST": address.host,
        "POSTGRES_PORT": str(address.port),
        "POSTGRES_NAME": address.name,
        "POSTGRES_USERNAME": address.user,
        "POSTGRES_PASSWORD": address.password.get_secret_value(),
        "POSTGRES_SCHEMA": schema,
    }
    if mode := address.options.get("sslmode"):
        values["POSTGRES_SSLMODE"] = mode
    _write(own, values, project.env_file)
    return Dashboard(f"http://{bind}:{at}", own, password_from, project.root)


def password_of(project: Project) -> tuple[str, str]:
    """Return the dashboard's password and where it is written: `.env`, else a file under storage/, made up once.

    Raises:
        SettingsError: `.env` is refused.
    """
    if (given := load_environment(project).password) is not None:
        return given.get_secret_value(), f"PASSWORD in {project.env_file}"
    own = project.storage / "jesse.env"
    kept = dotenv_values(own).get("PASSWORD") if own.exists() else None
    if not kept:
        kept = secrets.token_urlsafe(12)
        _write(own, {"PASSWORD": kept}, project.env_file)
    return kept, f"PASSWORD in {own}"


def become_jesse(dashboard: Dashboard, start: str, *, skip_lsp: bool, skip_agent_rules: bool) -> None:
    """Replace this process by `start`, a line of Python that is given the arguments of `jesse run`. Does not return."""
    arguments = ["run", *(["--skip-lsp"] if skip_lsp else []), *(["--skip-agent-rules"] if skip_agent_rules else [])]
    environment = {**os.environ, "JESSE_ENV_FILE": str(dashboard.env_file)}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(dashboard.root), *filter(None, [os.environ.get("PYTHONPATH")])]
    )  # strategies import sigil_ext, installed or not
    os.chdir(dashboard.root)
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-c", start, *arguments], environment)


def demand_free_port(host: str, port: int) -> None:
    """Refuse an address that cannot be listened on.

    Raises:
        UsageError: it is taken, or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise UsageError(
                    f"port {port} on {host} is taken, perhaps by another dashboard; choose one: --port {port + 1}"
                ) from None
            raise UsageError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None


def _write(path: Path, values: dict[str, str], users: Path) -> None:
    """Write the environment file, readable by its owner only; keys of the user's `.env` that Sigil does not set stay."""
    path.parent.mkdir(parents=True, exist_ok=True)
    further = dotenv_values(users) if users.exists() else {}
    fresh = path.with_suffix(".tmp")
    fresh.unlink(missing_ok=True)
    os.close(os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600))
    for key, value in {**{k: v for k, v in further.items() if v}, **values}.items():
        set_key(fresh, key, value, quote_mode="always")
    fresh.replace(path)
