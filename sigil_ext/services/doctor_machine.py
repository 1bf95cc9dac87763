"""The doctor's checks of the machine: Python, operating system, disk, memory, clock. Reads only."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from sigil_ext.db import embedded
from sigil_ext.services.examination import Examination, Level, Line

PYTHONS = ((3, 11), (3, 12))
GLIBC = (2, 34)
LEAST_DISK_BYTES = 1 * 10**9
ENOUGH_DISK_BYTES = 5 * 10**9
LEAST_MEMORY_BYTES = 500 * 10**6
UNSYNCHRONISED = 5  # TIME_ERROR of adjtimex(2)
TIMEX_BYTES = 256


def python(seen: Examination) -> list[Line]:
    """Say whether this Python is one that Sigil knows."""
    version = platform.python_version()
    if sys.version_info[:2] not in PYTHONS:
        return [Line("python", "problem", f"Python {version}", "use Python 3.11 or 3.12")]
    return [Line("python", "ok", f"Python {version}")]


def system(seen: Examination) -> list[Line]:
    """Say what runs here, and whether the embedded server can."""
    name, libc = platform.libc_ver()
    here = f"{platform.system()} {platform.machine()}, {name or 'libc'} {libc or 'not known'}, {os.cpu_count()} cores"
    if platform.system() != "Linux" or platform.machine() != "x86_64" or name != "glibc":
        return [Line("platform", "note", here, "only Linux on x86_64 with glibc was tried")]
    if tuple(int(part) for part in libc.split(".")[:2]) < GLIBC:
        return [Line("platform", "problem", here, "the embedded PostgreSQL needs glibc 2.34; name a server in .env")]
    return [Line("platform", "ok", here)]


def disk(seen: Examination) -> list[Line]:
    """Say how much room is left where Sigil writes."""
    folders = {"storage": seen.project.storage, "database's folder": embedded.status(seen.project).data}
    lines: list[Line] = []
    devices: set[int] = set()
    for name, folder in folders.items():
        place = _existing(folder)
        if (device := place.stat().st_dev) in devices:
            continue
        devices.add(device)
        free = shutil.disk_usage(place).free
        level: Level = "problem" if free < LEAST_DISK_BYTES else "note" if free < ENOUGH_DISK_BYTES else "ok"
        to_do = "" if level == "ok" else f"make room there, {ENOUGH_DISK_BYTES / 1e9:g} GB are comfortable"
        lines.append(Line(f"disk of {name}", level, f"{free / 1e9:.1f} GB free in {folder}", to_do))
    if not os.access(_existing(seen.project.storage), os.W_OK):
        lines.append(Line("storage", "problem", f"{seen.project.storage} cannot be written", "give yourself the right"))
    return lines


def memory(seen: Examination) -> list[Line]:
    """Say what processes may still take."""
    free = _available_memory()
    if free is None:
        return [Line("memory", "note", "not known on this platform")]
    if free < LEAST_MEMORY_BYTES:
        return [
            Line("memory", "problem", f"{free / 1e6:.0f} MB available", "end something, or run fewer variants here")
        ]
    return [Line("memory", "ok", f"{free / 1e9:.1f} GB available")]


def _available_memory() -> int | None:
    """Return what processes may still take, in bytes: of the machine, or less where a container allows less."""
    free = _machine_memory()
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        most, taken = _number_in(limit), _number_in(used)
        if free is not None and most is not None and taken is not None:
            free = min(free, most - taken)
    return free


def _machine_memory() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _number_in(path: str) -> int | None:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):  # "max": no limit
        return None


def clock(seen: Examination) -> list[Line]:
    """Say what time it is, and whether NTP keeps the clock."""
    zone = time.strftime("%Z")
    said = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC; this machine's time zone is {zone}, Sigil counts in UTC"
    if _synchronised() is False:
        return [
            Line("clock", "note", f"{said}; not kept by NTP, says the kernel", "install chrony or systemd-timesyncd")
        ]
    return [Line("clock", "ok", said)]


def _synchronised() -> bool | None:
    """Return whether the kernel's clock is kept in step by NTP; None where that cannot be asked."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    state = adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))  # modes 0: reads only
    return None if state < 0 else state != UNSYNCHRONISED


def _existing(folder: Path) -> Path:
    return next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
