"""What the panel keeps of its sessions under `storage/panel/`: the key that signs them, and which were ended by a logout.

Two servers of one project share it. Start at `own_key` and `EndedSessions`.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from pathlib import Path

from sigil_ext.errors import SettingsError
from sigil_ext.settings.project import Project

KEY_BYTES = 32


def own_key(project: Project) -> bytes:
    """Return the project's random key, readable by its owner only; made at the first call, and anew if it is not whole.

    Raises:
        SettingsError: it cannot be kept.
    """
    try:
        return _kept_key(_folder(project) / "session.key")
    except OSError as error:
        raise SettingsError(
            f"cannot keep the key of the panel's sessions, {error.filename}: {error.strerror}"
        ) from None


def _kept_key(path: Path) -> bytes:
    with (path.parent / "session.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.is_file() and len(key := path.read_bytes()) == KEY_BYTES:
            return key
        key = secrets.token_bytes(KEY_BYTES)
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        return key


class EndedSessions:
    """Sessions whose cookie still would be valid: an empty file each, named `<end>.<nonce>`, until that end."""

    def __init__(self, project: Project) -> None:
        self._place = _folder(project) / "ended"

    def __contains__(self, session: str) -> bool:
        return (self._place / session).exists()

    def add(self, session: str) -> None:
        """End a session. It has to be one that was given out here: its name is that of a file."""
        self._place.mkdir(mode=0o700, exist_ok=True)
        (self._place / session).touch(mode=0o600)
        for old in self._place.iterdir():
            end = old.name.partition(".")[0]
            if end.isdigit() and int(end) <= time.time():
                old.unlink(missing_ok=True)


def _folder(project: Project) -> Path:
    folder = project.storage / "panel"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
