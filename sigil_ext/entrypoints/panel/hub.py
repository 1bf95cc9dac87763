"""One look a second at every variant for all who listen: starts with the first listener, ends a while after the last.

A look that is never answered holds up nobody: each variant is asked in its own thread, and a variant that goes away or
comes back is an event, too. Start at `Hub.stream`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sigil_ext.db.connection import Database
from sigil_ext.entrypoints.panel.context import PanelContext
from sigil_ext.services.events import Happened, Listener, Stream, Watch

EVERY_S = 1.0
LINGER_S = 300.0


@dataclass(slots=True)
class _Watched:
    """A variant's watch. What a look found is kept here, so that a look whose answer came too late loses nothing."""

    watch: Watch = field(default_factory=Watch)
    found: list[Happened] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    away: str | None = None

    def look(self, database: Database) -> None:
        if not self.lock.acquire(blocking=False):
            return  # an earlier look is not done yet
        try:
            self.found.extend(self.watch.look(database))
        finally:
            self.lock.release()

    def taken(self) -> list[Happened]:
        found: list[Happened] = []
        while self.found:
            found.append(self.found.pop(0))
        return found


class Hub:
    """The stream of one application. Used from its event loop only."""

    def __init__(self, context: PanelContext, every_s: float = EVERY_S, linger_s: float = LINGER_S) -> None:
        self.context, self.every_s, self.linger_s = context, every_s, linger_s
        self.dropped = 0
        self._stream = Stream()
        self._task: asyncio.Task[None] | None = None
        self._wanted_at = 0.0
        self._first_look = asyncio.Event()

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return self._stream.listeners

    @property
    def last(self) -> int:
        """The number of the newest event."""
        return self._stream.last

    async def stream(self) -> Stream:
        """Return the stream, looking from now on; a stream that rested is another one, for it missed what happened."""
        self._wanted_at = time.monotonic()
        if self._task is None or self._task.done():
            self._stream, self._first_look = Stream(), asyncio.Event()
            self._task = asyncio.create_task(self._run(), name="panel events")
        await self._first_look.wait()
        return self._stream

    async def listen(self, listener: Listener) -> tuple[Stream, Callable[[], None]]:
        """Return the stream with `listener` on it, and the function that takes it off."""
        stream = await self.stream()
        return stream, stream.listen(listener)

    async def close(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        watched: dict[str, _Watched] = {}
        while self._stream.listeners or time.monotonic() - self._wanted_at < self.linger_s:
            began = time.monotonic()
            for name in self.context.names():
                watched.setdefault(name, _Watched())
            answers = await self.context.ask_all(lambda database: watched[database.variant].look(database))
            for name, answer in answers.items():
                one = watched[name]
                self._stream.add(one.taken())
                code = answer.away.kind if answer.away else None
                if code != one.away and self._first_look.is_set():
                    said = answer.away.said if answer.away else None
                    data = {"reachable": code is None, "code": code, "message": said}
                    self._stream.add([Happened(name, "variant", datetime.now(UTC), data)])
                one.away = code
            self._first_look.set()
            await asyncio.sleep(max(0.0, self.every_s - (time.monotonic() - began)))


def hub_of(app_state: object) -> Hub:
    """Return the hub of an application's state."""
    hub: Hub = app_state.hub  # type: ignore[attr-defined]
    return hub
