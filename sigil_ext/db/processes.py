"""Which processes run at a data folder: told apart by their working folder, which is the data folder for every process
of a PostgreSQL server, and for the embedded Redis. So a process number that was given to somebody else is never taken for the server."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def is_alive(pid: int, data: Path, program: str = "postgres") -> bool:
    """Return whether process `pid` is a live (not zombie) process of `program` working in `data`."""
    if pid <= 0:
        return False
    if not Path("/proc/self/stat").exists():
        return _is_by_ps(pid, program)
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except (OSError, IndexError):
        return False
    if state in "ZX" or name != program:
        return False
    try:
        return os.path.samefile(f"/proc/{pid}/cwd", data)
    except PermissionError:
        return True  # a server of another user: its folder is not ours to read, its name and number must do
    except OSError:
        return False


def working_in(data: Path) -> list[int]:
    """Return the live PostgreSQL processes that work in `data`, as far as we may see them."""
    pids = [int(entry.name) for entry in Path("/proc").glob("[0-9]*")] if Path("/proc/self/stat").exists() else []
    return [pid for pid in pids if _works_in(pid, data)]


def _works_in(pid: int, data: Path) -> bool:
    try:
        return os.path.samefile(f"/proc/{pid}/cwd", data) and is_alive(pid, data)
    except OSError:
        return False


def _is_by_ps(pid: int, program: str) -> bool:
    done = subprocess.run(["ps", "-o", "stat=,comm=", "-p", str(pid)], capture_output=True, text=True)
    state, _, name = done.stdout.strip().partition(" ")
    return bool(state) and not state.startswith("Z") and program in name
