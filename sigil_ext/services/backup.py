"""Backups of variants' databases: one file a variant, taken while its session runs, restored whole or not at all.

A backup is a plain tar with `manifest.json` (whose, when, schema, rows of each table, SHA-256) and `database.dump`, which
PostgreSQL's own pg_restore reads as well. Start at `back_up` and `restore`.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sigil_ext import __version__
from sigil_ext.db import backup as tools
from sigil_ext.db.connection import Database, create_if_missing, exists
from sigil_ext.db.migrate import load_migrations, state
from sigil_ext.errors import SigilError, UsageError
from sigil_ext.services.database import locate_database
from sigil_ext.settings.project import Project, find_project
from sigil_ext.settings.strategies import demand_session_name, known_sessions, note_session, strategy_sessions

MANIFEST, DUMP = "manifest.json", "database.dump"
LARGEST_MANIFEST = 1_000_000
Agree = Callable[[str], bool]


class Manifest(BaseModel):
    """What a backup says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: int = Field(ge=1)
    variant: str
    strategy: bool = False
    """True for the session of a strategy of the user's own, which `variant` names."""
    database: str
    taken_at: datetime
    sigil: str
    server: str
    schema_version: int
    tables: dict[str, int]
    sha256: str

    def contents(self) -> tools.Contents:
        """Return what the database has to hold after a restore."""
        return tools.Contents(self.tables, self.schema_version, self.variant, self.server)


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What became of one variant: its file and what is in it, or the sentence that says why there is none."""

    variant: str
    place: str
    file: Path | None = None
    size: int = 0
    manifest: Manifest | None = None
    problem: str | None = None
    absent: bool = False
    """True where there is no database yet."""


@dataclass(frozen=True, slots=True)
class Restored:
    """A database brought back; `version` is its schema's now."""

    variant: str
    place: str
    manifest: Manifest
    version: int
    pending: int


def back_up(variants: Sequence[str], to: Path | None = None, project: Project | None = None) -> Iterator[BackedUp]:
    """Back up each variant's database into the folder `to` (default: storage/backups), one by one.

    A database that cannot be backed up is reported and does not keep the others from it.

    Raises:
        UsageError: the folder cannot be written, or a variant is unknown.
    """
    project = project or find_project()
    folder = _writable(to.resolve() if to else project.storage / "backups")
    for variant in variants:
        database = locate_database(variant, project)
        try:
            if not exists(database.address):
                yield BackedUp(
                    variant, database.address.place, problem=f"there is no {database.address.place} yet", absent=True
                )
                continue
            yield _back_up(database, folder, strategy=variant in strategy_sessions(project))
        except SigilError as error:
            yield BackedUp(variant, database.address.place, problem=str(error))
        except OSError as error:
            yield BackedUp(
                variant, database.address.place, problem=f"cannot write to {folder}: {error.strerror or error}"
            )


def restore(
    file: Path, variant: str, *, replace: bool = False, agree: Agree = lambda question: False,
    project: Project | None = None,
) -> Restored:  # fmt: skip
    """Bring the backup `file` back into `variant`'s database, creating it if it is missing.

    The database must hold no rows, unless `replace` is set and `agree` says yes to the question what is deleted.

    Raises:
        UsageError: the file is damaged, no backup, another variant's or of a newer Sigil, or the database holds rows.
        LockHeld: a session of the variant runs. SigilError: not agreed to, or the restore failed; nothing was changed.
    """
    project = project or find_project()
    with tempfile.TemporaryDirectory(prefix="sigil-restore-", dir=_writable(project.storage / "backups")) as folder:
        dump = Path(folder) / DUMP
        manifest = _unpack(file, dump)
        _demand_fitting(file, manifest, variant, project)
        if manifest.strategy and variant not in known_sessions(project):
            demand_session_name(variant, project)
            note_session(variant, project)
        database = locate_database(variant, project)
        if exists(database.address):
            held = tools.contents(database)
            tools.demand_replaceable(database, held, replace=replace)
            if held.rows and not agree(_question(database, held, manifest)):
                raise SigilError("not restored; nothing was changed")
        else:
            create_if_missing(database.address)
        tools.restore(database, dump, manifest.contents(), replace=replace)
    now = state(database, project.migrations)
    return Restored(variant, database.address.place, manifest, now.version, len(now.pending))


def _back_up(database: Database, folder: Path, *, strategy: bool) -> BackedUp:
    """Make the file beside its place and rename it: what has its name is whole."""
    taken_at = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=folder) as half_made:
        dump, packed = Path(half_made) / DUMP, Path(half_made) / "packed.tar"
        found = tools.dump(database, dump)
        if found.owner not in (None, database.variant):
            raise UsageError(
                f"the {database.address.place} belongs to variant '{found.owner}', not '{database.variant}'"
            )
        manifest = Manifest(
            format=1, variant=database.variant, strategy=strategy, database=database.address.name, taken_at=taken_at,
            sigil=__version__, server=found.server, schema_version=found.version, tables=dict(found.tables), sha256=_sha256(dump),
        )  # fmt: skip
        note = Path(half_made) / MANIFEST
        note.write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        packed.touch(mode=0o600)
        with tarfile.open(packed, "w", format=tarfile.PAX_FORMAT) as tar:
            for part in (note, dump):
                part.chmod(0o600)
                tar.add(part, arcname=part.name, filter=_nobodys)
        with packed.open("rb") as written:
            os.fsync(written.fileno())
        name = f"sigil-{database.variant}-{taken_at:%Y%m%dT%H%M%SZ}"
        place = _named(packed, folder, name)
    return BackedUp(database.variant, database.address.place, place, place.stat().st_size, manifest)


def _named(packed: Path, folder: Path, name: str) -> Path:
    """Give `packed` a name that is free: a backup never takes another one's place."""
    for number in range(1, 1000):
        place = folder / (f"{name}.tar" if number == 1 else f"{name}-{number}.tar")
        try:
            os.link(packed, place)
        except FileExistsError:
            continue
        return place
    raise FileExistsError(f"{folder} holds too many backups of this second")


def _nobodys(part: tarfile.TarInfo) -> tarfile.TarInfo:
    part.uid = part.gid = 0
    part.uname = part.gname = ""
    return part


def _unpack(file: Path, dump: Path) -> Manifest:
    """Write the dump within `file` to `dump` and return the manifest, both checked against each other."""
    no_backup = f"{file} is not a backup made by sigil db backup, or is damaged"
    try:
        with tarfile.open(file, "r:") as tar:
            note = tar.extractfile(MANIFEST)
            packed = tar.extractfile(DUMP)
            if note is None or packed is None:
                raise UsageError(no_backup)
            manifest = Manifest.model_validate_json(note.read(LARGEST_MANIFEST))
            dump.touch(mode=0o600)
            with dump.open("wb") as out:
                found = _copied(packed, out)
    except (tarfile.TarError, KeyError, ValidationError, EOFError):
        raise UsageError(no_backup) from None
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror or error}") from None
    if found != manifest.sha256:
        raise UsageError(f"{file} is damaged: its contents are not what was written; use another backup")
    return manifest


def _demand_fitting(file: Path, manifest: Manifest, variant: str, project: Project) -> None:
    newest = load_migrations(project.migrations)[-1].version
    if manifest.format != 1 or manifest.schema_version > newest:
        raise UsageError(
            f"{file} was made by a newer Sigil ({manifest.sigil}, schema {manifest.schema_version:03d}, here {newest:03d}); "
            "update Sigil first"
        )
    if manifest.variant != variant:
        raise UsageError(f"{file} is a backup of variant '{manifest.variant}', not '{variant}'")


def _question(database: Database, held: tools.Contents, manifest: Manifest) -> str:
    return (
        f"The {database.address.place} holds {held.rows:,} rows. They are deleted for good, and the {manifest.contents().rows:,} "
        f"of the backup of {manifest.taken_at:%Y-%m-%d %H:%M} UTC take their place. Go on?"
    )


def _copied(source: IO[bytes], target: IO[bytes]) -> str:
    """Copy and return the SHA-256 of what was copied."""
    digest = hashlib.sha256()
    while block := source.read(1 << 20):
        digest.update(block)
        target.write(block)
    return digest.hexdigest()


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _writable(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror or error}") from None
    return folder


def document(result: BackedUp | Restored) -> dict[str, Any]:
    """Return a result as plain values."""
    found: dict[str, Any] = {"variant": result.variant, "database": result.place}
    if result.manifest is not None:
        found |= json.loads(result.manifest.model_dump_json(exclude={"variant", "database"}))
    if isinstance(result, BackedUp):
        found |= {"file": str(result.file) if result.file else None, "bytes": result.size, "problem": result.problem}
    else:
        found |= {"version": result.version, "pending": result.pending}
    return found
