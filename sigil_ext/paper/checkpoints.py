"""A session's state, saved now and then: a restart replays the minutes since, and without one only takes longer.

Packing and writing have a thread and a connection of their own: minutes do not wait for them. Start at `Checkpoints.is_due`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

import structlog

from sigil_ext.bridge.checkpoint import NotNow, pack
from sigil_ext.db.journal import Journal, RecordedSession
from sigil_ext.errors import DatabaseUnavailable
from sigil_ext.paper.feed import MINUTE_MS

SAVE_PATIENCE_S = 30.0
CHECKPOINT_EVERY = 240  # minutes: what a restart replays at most; a few seconds with a hundred symbols
GROUPED_CHECKPOINT_EVERY = 18 * CHECKPOINT_EVERY  # of a session that groups its minutes

log = structlog.get_logger("sigil.paper")


class Checkpoints:
    """Those of one session, in this process."""

    def __init__(self, journal: Journal, variant: str) -> None:
        self._journal, self._variant = journal, variant
        self._last_ms: int | None = None
        self._saver = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._saving: Future[None] | None = None

    def go_on_from(self, open_ms: int | None) -> None:
        """Count from the checkpoint after this minute; None: from the session's start."""
        self._last_ms = open_ms

    def is_due(self, recorded: RecordedSession, open_ms: int, *, grouped: bool) -> bool:
        """Return whether the state after this minute should be saved; never while another is being written."""
        if self._last_ms is None:
            self._last_ms = recorded.start_ms
        # The first of a process early on any feed: it shows whether there can be one, and a short run has one too.
        often = not grouped or self._saving is None
        every = CHECKPOINT_EVERY if often else GROUPED_CHECKPOINT_EVERY
        if open_ms - self._last_ms < every * MINUTE_MS:
            return False
        return self._saving is None or self._saving.done()

    def save(self, recorded: RecordedSession, open_ms: int, take: Callable[[], bytes | None]) -> None:
        """Save what `take` returns, the state after this minute, which the record must hold already; or later, if NotNow."""
        try:
            state = take()
        except NotNow:
            return  # it stays due
        self._last_ms = open_ms
        if state is not None:
            self._saving = self._saver.submit(self._store, recorded, open_ms, state)

    def wait(self) -> None:
        """Wait for the one that is being written."""
        if self._saving is not None:
            wait([self._saving], timeout=SAVE_PATIENCE_S)

    def _store(self, recorded: RecordedSession, open_ms: int, state: bytes) -> None:
        try:
            self._journal.save_checkpoint(recorded, open_ms, pack(state))
        except DatabaseUnavailable as lost:
            log.warning("checkpoint not written", variant=self._variant, why=str(lost))
