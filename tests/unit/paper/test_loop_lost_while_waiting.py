"""A session that loses its database while it waits for a minute leaves the feed free to be asked again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sigil_ext.errors import DatabaseUnavailable
from sigil_ext.paper import loop
from sigil_ext.paper.feed import ClosedMinute


class SilentFeed:
    def events(self) -> list:
        return []

    async def minutes(self) -> AsyncIterator[ClosedMinute]:
        await asyncio.sleep(3600)
        yield ClosedMinute(0, {})


class SessionWithoutDatabase:
    def wait(self, events: list) -> None:
        raise DatabaseUnavailable("gone")


def test_the_feed_can_be_closed_after_the_database_was_lost_between_two_minutes(monkeypatch):
    monkeypatch.setattr(loop, "RETRY_S", 0.01)

    async def waited() -> None:
        feed = SilentFeed()
        minutes = feed.minutes()
        stopping = asyncio.create_task(asyncio.Event().wait())
        try:
            with pytest.raises(DatabaseUnavailable):
                await loop._next(minutes, stopping, SessionWithoutDatabase(), feed)
            await minutes.aclose()  # raises while somebody still asks
        finally:
            stopping.cancel()

    asyncio.run(waited())
