"""The database of a variant, ready for use: server running, database there, schema newest. Start at `open_store`."""

from __future__ import annotations

from sigil_ext.db import embedded
from sigil_ext.db.connection import Database, create_if_missing, resolve_address
from sigil_ext.db.migrate import State, state, up
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.errors import MigrationError, UnknownVariant
from sigil_ext.settings.overlays import RESEARCH_ONLY
from sigil_ext.settings.project import Project, find_project
from sigil_ext.settings.strategies import known_sessions


def open_store(variant: str, project: Project | None = None) -> PostgresStore:
    """Return the store of `variant` on its ready database.

    Raises:
        UsageError: the variant is unknown or for research only; the user's database waits for `sigil migrate up`.
        DatabaseUnavailable: the server cannot be started, reached or entered.
    """
    return PostgresStore(open_database(variant, project))


def open_database(variant: str, project: Project | None = None) -> Database:
    """Return `variant`'s database, created and migrated where Sigil may do so unasked.

    Unasked: on the embedded server, and wherever Sigil made the schema itself. A database that the earlier bot made is
    never changed without `sigil migrate up`.
    """
    project = project or find_project()
    database = locate_database(variant, project)
    create_if_missing(database.address)
    found = state(database, project.migrations)
    if found.pending:
        if not (database.embedded or made_by_sigil(found)):
            raise MigrationError(
                f"the {database.address.place} is the earlier bot's, at {found.version:03d}; "
                f"back it up and run: sigil migrate up --variant {variant}"
            )
        up(database, project.migrations)
    return database


def locate_database(variant: str, project: Project) -> Database:
    """Return `variant`'s database, which may not be there yet; the embedded server is started if it is meant.

    Raises:
        UsageError: the variant is unknown or for research only.
    """
    if variant not in (known := known_sessions(project)):
        raise UnknownVariant(variant, [v for v in known if v not in RESEARCH_ONLY])
    return Database(variant, resolve_address(project, variant))


def made_by_sigil(found: State) -> bool:
    """Return whether the schema is empty or was made by Sigil from its first version on."""
    return not found.applied or not found.taken_over


def start_server(project: Project | None = None) -> embedded.Status:
    """Start the embedded server unless it runs; return how it stands."""
    project = project or find_project()
    embedded.ensure_running(project)
    return embedded.status(project)


def stop_server(project: Project | None = None) -> bool:
    """Stop the embedded server; False if it was not running."""
    return embedded.stop(project or find_project())


def server_status(project: Project | None = None) -> embedded.Status:
    """Return how the embedded server stands."""
    return embedded.status(project or find_project())
