"""Temporary folders that do not outlive their process for ever: what a killed one left is cleared by the next one.

A process that is killed outright cannot tidy up, and a copy of candles may be gigabytes. Each folder holds a file that its
process keeps locked; the system lets go of the lock however the process ends. Start at `temporary_folder`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

_LOCK = ".in-use"
_NAME = re.compile(r"sigil-[a-z]+-\w+")


@contextlib.contextmanager
def temporary_folder(purpose: str) -> Iterator[Path]:
    """Give a new folder `sigil-<purpose>-...` for temporary files, removed at the end with all that is in it.

    Before that, those of this user whose process is gone are removed.
    """
    _clear(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=f"sigil-{purpose}-") as name:
        folder = Path(name)
        half_done = folder / f"{_LOCK}.new"
        with half_done.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            half_done.rename(folder / _LOCK)  # only now: a lock file that nobody holds means that its process is gone
            try:
                yield folder
            finally:
                _empty(folder)


def _clear(place: Path) -> None:
    """Remove the folders in `place` whose process is gone. One without a lock file is somebody else's."""
    with os.scandir(place) as found:
        folders = [Path(entry.path) for entry in found if _NAME.fullmatch(entry.name) and _is_own(entry)]
    for folder in folders:
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:  # none, or its process removes the folder just now
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue  # in use
        else:
            _empty(folder)
            shutil.rmtree(folder, ignore_errors=True)  # what cannot be removed must not keep this run from its work
        finally:
            os.close(lock)


def _empty(folder: Path) -> None:
    """Remove all but the lock file, which goes last: whoever is killed meanwhile leaves a folder that is known as its own."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != _LOCK:
                path.unlink(missing_ok=True)


def _is_own(entry: os.DirEntry[str]) -> bool:
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
