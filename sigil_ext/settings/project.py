"""Where the project's files are: overlays, migrations, strategies, sample, storage.

Looked for in this order: the folder in SIGIL_HOME, the current folder, the checkout that this package lies in, and last
the copy inside an installed package (overlays and migrations only; storage is then made in the current folder).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sigil_ext.errors import UsageError

PACKAGE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Project:
    """The folders of one project."""

    root: Path
    storage: Path

    @property
    def overlays(self) -> Path:
        return self.root / "overlays"

    @property
    def migrations(self) -> Path:
        return self.root / "migrations"

    @property
    def sample(self) -> Path:
        return self.root / "sample"

    @property
    def env_file(self) -> Path:
        return self.storage.parent / ".env"


def find_project(start: Path | None = None) -> Project:
    """Return the project that a command run in `start` (default: the current folder) belongs to.

    Raises:
        UsageError: SIGIL_HOME names a folder without overlays.
    """
    here = (start or Path.cwd()).resolve()
    if home := os.environ.get("SIGIL_HOME"):
        root = Path(home).expanduser().resolve()
        if not (root / "overlays" / "base.yaml").is_file():
            raise UsageError(f"SIGIL_HOME is '{home}', which holds no overlays/base.yaml; point it at a Sigil project")
        return Project(root, root / "storage")
    for root in (here, PACKAGE.parent):
        if (root / "overlays" / "base.yaml").is_file():
            return Project(root, root / "storage")
    return Project(PACKAGE / "_project", here / "storage")
