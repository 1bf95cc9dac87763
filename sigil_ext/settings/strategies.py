"""Names of paper sessions that run a strategy of the user's own: every command takes them where it takes a variant.

A name is noted under `storage/` when its session first begins; the session itself is in its database. Start at
`known_sessions`.
"""

from __future__ import annotations

import re
from pathlib import Path

from sigil_ext.errors import UsageError
from sigil_ext.settings.overlays import known_variants
from sigil_ext.settings.project import Project

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_RESERVED = frozenset({"base", "jesse"})


def strategy_sessions(project: Project) -> list[str]:
    """Return the names of all sessions of strategies that ever began in this project, by name."""
    return sorted(path.stem for path in _folder(project).glob("*.name"))


def known_sessions(project: Project) -> list[str]:
    """Return every name that may have a database: the variants, then the sessions of strategies."""
    variants = known_variants(project)
    return variants + [name for name in strategy_sessions(project) if name not in variants]


def demand_session_name(name: str, project: Project) -> None:
    """Refuse what cannot be the name of a session.

    Raises:
        UsageError: it is no name of a session, or a variant has it.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"--name '{name}' must be small letters, digits and _, beginning with a letter, at most 40 of them"
        )
    if name in known_variants(project) or name in _RESERVED:
        raise UsageError(f"--name '{name}' is taken by a variant; choose another one")


def note_session(name: str, project: Project) -> bool:
    """Make `name` known to every command; return whether it was not known before."""
    folder = _folder(project)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        (folder / f"{name}.name").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def forget_session(name: str, project: Project) -> None:
    """Make `name` unknown again: its session was refused before it began."""
    (_folder(project) / f"{name}.name").unlink(missing_ok=True)


def _folder(project: Project) -> Path:
    return project.storage / "paper" / "strategies"
