"""The feed lost and back, as a session sees it: how long, and what people are told. Start at `FeedOutage.follow`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog

from sigil_ext.instants import utc
from sigil_ext.paper.alerts import Alert
from sigil_ext.paper.feed import FeedEvent
from sigil_ext.rules import messages

FEED_PATIENCE = timedelta(seconds=90)  # exchanges cut a connection every day; back within this, nobody is told

log = structlog.get_logger("sigil.paper")


class FeedOutage:
    """Whether a session's feed is lost. `told`: it has lasted so long that people know."""

    def __init__(self, variant: str, feed: str, now: Callable[[], datetime]) -> None:
        """Args: now: the feed's clock."""
        self._variant, self._feed, self._now = variant, feed, now
        self.told = False
        self._since: datetime | None = None
        self._why = ""

    def follow(self, events: Sequence[FeedEvent]) -> None:
        """Take note of what the feed met."""
        for event in events:
            log.info("feed", variant=self._variant, kind=event.kind, symbol=event.symbol, detail=event.detail)
            if event.kind == "lost" and self._since is None:
                self._since, self._why = utc(event.at_ms), event.detail
            elif event.kind == "back":
                self._since, self.told = None, False

    def lasting(self) -> datetime | None:
        """Return since when the feed has been lost, None while it is not, or only for as long as it often is."""
        return None if self._since is None or self._now() - self._since < FEED_PATIENCE else self._since

    def alert(self, since: datetime, session: int) -> Alert:
        """Return what people are told of one that lasts."""
        message = messages.feed_lost(feed=self._feed, detail=self._why)
        return Alert("feed_lost", since, message, key=f"feed_lost:{session}:{since.isoformat()}")

    def end(self, events: Sequence[FeedEvent], session: int) -> list[Alert]:
        """Return what people who were told of it are told of its end, if `events`, not yet followed, hold that."""
        since = self._since
        back = next((e for e in events if e.kind == "back"), None)
        if back is None or since is None or not self.told:
            return []
        at = utc(back.at_ms)
        missed = int((at - since) / timedelta(minutes=1))
        message = messages.feed_back(feed=self._feed, since=since, until=at, missed=missed)
        return [Alert("feed_back", at, message, key=f"feed_back:{session}:{since.isoformat()}")]
