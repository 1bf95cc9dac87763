"""What people ask of a running session: to close positions. Start at `Requests.waiting`."""

from __future__ import annotations

import time
from collections.abc import Sequence

import structlog

from sigil_ext.db.journal import Journal, Request
from sigil_ext.paper.hosts import SessionHost
from sigil_ext.paper.recorder import MinuteRecord
from sigil_ext.rules.symbols import to_jesse

ASK_EVERY_S = 0.2

log = structlog.get_logger("sigil.paper")


class Requests:
    """Those of one session."""

    def __init__(self, journal: Journal, variant: str, feed: str) -> None:
        self._journal, self._variant, self._feed = journal, variant, feed
        self._asked = 0.0

    def waiting(self) -> list[Request]:
        """Return what was asked and not done yet; of a recording it is looked only as often as people act.

        Raises:
            DatabaseUnavailable: the server was lost.
        """
        if self._feed == "replay":  # minutes of a recording may pass by the thousand a second; people do not
            if time.monotonic() - self._asked < ASK_EVERY_S:
                return []
            self._asked = time.monotonic()
        return self._journal.requests()

    def obey(self, request: Request, host: SessionHost, held: Sequence[str], record: MinuteRecord) -> None:
        """Do it at the last price, and leave in `record` what came of it."""
        wanted = held if request.symbol is None else [to_jesse(request.symbol)]
        closed = []
        for symbol in sorted(wanted):
            ended = host.close(symbol, request.exit_reason)
            if ended is not None:
                record.ended.append(ended)
                record.closings.append((request, ended))
                closed.append(f"{symbol} at {ended.trade.exit_price:.10g}")
        outcome = f"closed {', '.join(closed)}" if closed else "nothing was open"
        record.done.append((request, outcome))
        log.info("request", variant=self._variant, act=request.act, by=request.actor, outcome=outcome)
