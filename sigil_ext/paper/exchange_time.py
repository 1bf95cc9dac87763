"""The exchange's clock, told from here: asked for now and then, carried on by a clock that nobody can set.

Rather too early than too late, because no candle may be taken before it has closed. Start at `ExchangeTime.now_ms`.
"""

from __future__ import annotations

from sigil_ext.paper.exchange_client import ExchangeClient
from sigil_ext.paper.feed import EventKind, FeedEvent, SteadyClock

_ANSWERS = 3  # the quickest is the surest: it is wrong by half its way at most
_SURE_MS = 1000  # an answer that took longer than twice this is not worth more than the last one that was quicker
_TOLD_MS = 1500  # some exchanges tell whole seconds only


class ExchangeTime:
    """The time at the exchange; this machine's until `measure` has been called.

    `skew_ms` is how far the exchange's clock is ahead of this machine's.
    """

    def __init__(self, client: ExchangeClient, clock: SteadyClock) -> None:
        self._client, self._clock = client, clock
        self._there_ms: int | None = None  # the exchange's time at `_at_ms`
        self._at_ms = 0
        self._told_ms = 0
        self.skew_ms = 0
        self.unsure_ms = 0

    def now_ms(self) -> int:
        """Return the exchange's time in ms since 1970 UTC, as early as it can be."""
        if self._there_ms is None:
            return self._clock.now_ms()
        return self._there_ms + self._clock.steady_ms() - self._at_ms - self.unsure_ms

    async def measure(self, *, wait: bool = True) -> FeedEvent | None:
        """Compare the clocks; return an event when the difference has become another one.

        Raises:
            Unreachable: no answer.
        """
        best: tuple[int, int, int] | None = None
        for _ in range(_ANSWERS):
            sent = self._clock.steady_ms()
            there = await self._client.time_ms(wait=wait)
            back = self._clock.steady_ms()
            if best is None or back - sent < best[0]:
                best = (back - sent, there, (sent + back) // 2)
        assert best is not None
        unsure = best[0] // 2 + 1
        if self._there_ms is None or unsure <= _SURE_MS:
            _, self._there_ms, self._at_ms = best
            self.unsure_ms = unsure
        here = self._clock.now_ms() - (self._clock.steady_ms() - self._at_ms)
        self.skew_ms = self._there_ms - here
        return self._news()

    def _news(self) -> FeedEvent | None:
        if abs(self.skew_ms - self._told_ms) <= _TOLD_MS + self.unsure_ms:
            return None
        self._told_ms = self.skew_ms
        kind: EventKind = "clock_skew"
        return FeedEvent(self.now_ms(), kind, None, describe_skew(self.skew_ms))


def describe_skew(skew_ms: int) -> str:
    """Return the difference of the clocks in words."""
    word = "behind" if skew_ms > 0 else "ahead of"
    return f"this clock is {abs(skew_ms) / 1000:.1f} s {word} the exchange's"
