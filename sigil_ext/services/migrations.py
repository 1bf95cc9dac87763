"""Migrations of one or several variants' databases, always in the same order. Start at `migrate_up`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sigil_ext.db import migrate
from sigil_ext.db.connection import create_if_missing, exists
from sigil_ext.errors import UsageError
from sigil_ext.services.database import locate_database
from sigil_ext.settings.overlays import RESEARCH_ONLY
from sigil_ext.settings.project import Project, find_project
from sigil_ext.settings.strategies import known_sessions


@dataclass(frozen=True, slots=True)
class Migrated:
    """What was done to one variant's database."""

    variant: str
    place: str
    steps: tuple[migrate.Step, ...]
    version: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one variant's database stands; `state` is None while there is no such database."""

    variant: str
    place: str
    state: migrate.State | None
    migrations: tuple[migrate.Migration, ...]


def chosen_variants(variants: Sequence[str], every: bool, project: Project | None = None) -> list[str]:
    """Return the variants meant by `--variant` and `--all`; without either, baseline.

    Raises:
        UsageError: both were given.
    """
    if every and variants:
        raise UsageError("--all and --variant exclude each other; give one of them")
    if every:
        return [v for v in known_sessions(project or find_project()) if v not in RESEARCH_ONLY]
    return list(dict.fromkeys(variants)) or ["baseline"]


def migrate_up(variants: Sequence[str], to: int | None = None, project: Project | None = None) -> Iterator[Migrated]:
    """Bring each database up to `to` (default: newest), creating it if missing; yield what was done, one by one."""
    project = project or find_project()
    migrate.check_target(project.migrations, to)
    for variant in variants:
        database = locate_database(variant, project)
        create_if_missing(database.address)
        steps = migrate.up(database, project.migrations, to)
        version = migrate.state(database, project.migrations).version
        yield Migrated(variant, database.address.place, tuple(steps), version)


def migrate_down(variants: Sequence[str], to: int, project: Project | None = None) -> Iterator[Migrated]:
    """Take each database back to `to`; yield what was done, one by one."""
    project = project or find_project()
    migrate.check_target(project.migrations, to)
    for variant in variants:
        database = locate_database(variant, project)
        steps = migrate.down(database, project.migrations, to)
        version = migrate.state(database, project.migrations).version
        yield Migrated(variant, database.address.place, tuple(steps), version)


def standings(variants: Sequence[str], project: Project | None = None) -> Iterator[Standing]:
    """Yield where each database stands; nothing is created or changed."""
    project = project or find_project()
    migrations = tuple(migrate.load_migrations(project.migrations))
    for variant in variants:
        database = locate_database(variant, project)
        state = migrate.state(database, project.migrations) if exists(database.address) else None
        yield Standing(variant, database.address.place, state, migrations)
