"""What the probe remembers on this machine, because a database that does not answer cannot remember it.

    storage/probe/last.json    the last run: when, where, what it found; rewritten by each run, whole or not at all
    storage/probe/state.json   databases that do not answer, and since when: their breakers may have to trip when they do again
    storage/probe/lock         held while the state is read and written
    storage/probe/gap.json     who was told that the probe had not been running, and when; gap.lock is held meanwhile

Who was told of an outage is kept by services/outage.py. A file that cannot be read as what it should be is put aside and
said. Start at `ProbeFiles`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

LOCK_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Outage:
    """A database that does not answer: first and last time that a probe saw it so, and what it said."""

    since: datetime
    last_seen: datetime
    detail: str


class ProbeFiles:
    """The probe's files below a project's storage folder. Every method raises OSError when the disk refuses."""

    def __init__(self, storage: Path) -> None:
        self.home = storage / "probe"
        self.problems: list[str] = []
        """What was wrong with the files, in sentences; a run reports them."""

    def last_run(self) -> datetime | None:
        """Return when the last run on this machine was; None without a trace of it."""
        document = self._read("last.json")
        at = document.get("at") if document else None
        return _time(at) if isinstance(at, str) else None

    def note_run(self, document: Mapping[str, Any]) -> None:
        """Leave the trace of this run."""
        self._write("last.json", document)

    def outages(self) -> dict[str, Outage]:
        """Return the databases that did not answer, by variant."""
        found: dict[str, Outage] = {}
        document = self._read("state.json") or {}
        try:
            for variant, kept in document.get("outages", {}).items():
                since, seen = _time(kept["since"]), _time(kept["last_seen"])
                if since is None or seen is None:
                    raise ValueError
                found[str(variant)] = Outage(since, seen, str(kept["detail"]))
        except (AttributeError, KeyError, TypeError, ValueError):
            self._put_aside("state.json")
            return {}
        return found

    def keep_outages(self, outages: Mapping[str, Outage]) -> None:
        """Remember `outages` and no others."""
        kept = {variant: asdict(outage) for variant, outage in sorted(outages.items())}
        self._write("state.json", {"outages": kept})

    def gap_told(self) -> tuple[datetime, frozenset[str]] | None:
        """Return when people were last told that the probe had not been running, and by which channels."""
        document = self._read("gap.json")
        if document is None:
            return None
        at, channels = document.get("at"), document.get("channels")
        told = _time(at) if isinstance(at, str) else None
        if told is None or not isinstance(channels, list):
            self._put_aside("gap.json")
            return None
        return told, frozenset(str(name) for name in channels)

    def note_gap(self, at: datetime, channels: Iterable[str]) -> None:
        """Remember that they were told at `at`, by `channels`."""
        self._write("gap.json", {"at": at, "channels": sorted(channels)})

    @contextlib.contextmanager
    def locked(self, name: str = "lock", limit_s: float = LOCK_LIMIT_S) -> Iterator[bool]:
        """Hold the lock of the state; False if another probe held it for too long, and then the state is left alone."""
        self._make_home()
        handle = os.open(self.home / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield _lock(handle, limit_s)
        finally:
            os.close(handle)

    def _make_home(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            document = json.loads((self.home / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:  # no JSON, or no text at all
            document = None
        if not isinstance(document, dict):
            self._put_aside(name)
            return None
        return document

    def _put_aside(self, name: str) -> None:
        broken = self.home / f"{name}.broken"
        (self.home / name).replace(broken)
        self.problems.append(f"{self.home / name} could not be read and was put aside as {broken.name}")

    def _write(self, name: str, document: Mapping[str, Any]) -> None:
        self._make_home()
        fresh = self.home / f"{name}.{os.getpid()}.new"  # two probes at once each have their own
        try:
            with open(fresh, "w", encoding="utf-8") as handle:
                json.dump(document, handle, indent=2, default=_json)
                handle.write("\n")
                handle.flush()
                os.fsync(handle.fileno())
            fresh.replace(self.home / name)
        finally:
            fresh.unlink(missing_ok=True)


def _lock(handle: int, limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)


def _time(text: str) -> datetime | None:
    """Return an aware time, or None for what is none."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else None


def _json(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in the probe's files")
