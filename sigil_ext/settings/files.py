"""Files that a person named to write to: replaced in one step, or written through where they are no plain file.

Start at `write_whole`; `demand_writable` asks beforehand.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path

from sigil_ext.errors import UsageError


def write_whole(path: Path, text: str, what: str) -> None:
    """Write `text` to `path`, whole or not at all; a symbolic link stays one, and what it leads to is written.

    A device, a pipe or the like is written through, never replaced.

    Args:
        what: how a message calls it, say "the page".
    Raises:
        UsageError: the file or its folder cannot be written.
    """
    half_done: Path | None = None
    try:
        if _is_special(path):
            with path.open("w", encoding="utf-8") as file:
                file.write(text)
            return
        target = _target(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        half_done = _beside(target)
        half_done.write_text(text, encoding="utf-8")
        if target.exists():
            shutil.copymode(target, half_done)
        os.replace(half_done, target)
    except OSError as error:
        if half_done is not None:
            with contextlib.suppress(OSError):
                half_done.unlink()
        raise _refusal(path, what, error) from error


def demand_writable(path: Path, what: str) -> None:
    """Try the place of a file before hours of work are spent on it.

    Raises:
        UsageError: the file or its folder cannot be written.
    """
    try:
        if _is_special(path):
            if not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return
        target = _target(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        probe = _beside(target)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _refusal(path, what, error) from error


def _is_special(path: Path) -> bool:
    """Return whether `path` leads to something that must not be replaced: /dev/stdout may even lead to a plain file."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return (path.exists() and not path.is_file()) or path.is_relative_to("/dev") or path.is_relative_to("/proc")


def _target(path: Path) -> Path:
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return target


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name[:200]}.{os.getpid()}.tmp")


def _refusal(path: Path, what: str, error: OSError) -> UsageError:
    return UsageError(f"cannot write {what} to {path}: {error.strerror or error}; name another file")
