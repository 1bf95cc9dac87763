"""A cell's last scan: which symbols it accepts, those that the cell's own bans take out counted out.

Where a ban takes somebody out, who is left is ranked anew: the order that was sorted once is walked past who is banned, with
the arithmetic of `rules.universe.weighted_ranks`. A test holds the two equal. Start at `accepts`.
"""

from __future__ import annotations

from sigil_ext.research.kernel.compiling import inlined, kernel
from sigil_ext.research.kernel.shapes import Row
from sigil_ext.research.kernel.views import (
    accepted,
    account_of,
    kept,
    opens,
    order,
    passed,
    scan_minutes,
    scores,
    shares,
    standings,
)

MINUTE_US = 60_000_000
BANNED = -1.0  # less than any score


@kernel
def look(w: Row, scan: int) -> None:
    """Make `scan` the last one, and note who of it was banned then."""
    account = account_of(w)
    if scan == account.scan:
        return
    account.scan, account.own_scan, account.ranked = scan, False, False
    now_us = scan_minutes(w)[scan] * MINUTE_US
    if account.latest_ban <= now_us:
        return
    count = 0
    for s in range(w.symbols):
        passes, free = passed(w)[scan, s], standings(w)[s].ban_until <= now_us
        kept(w)[s] = passes and free
        count += passes and free
        if passes and not free:
            account.own_scan = True
    account.kept = count


@inlined
def accepts(w: Row, symbol: int) -> bool:
    """Return whether the last scan accepts a symbol, its own bans counted."""
    account = account_of(w)
    if not account.own_scan:
        return bool(accepted(w)[account.scan, symbol])
    if not kept(w)[symbol]:
        return False
    if account.kept <= w.universe_size:
        return True
    if not account.ranked:
        rank(w)
        account.ranked = True
    mine = scores(w)[symbol]
    ahead = 0
    for s in range(symbol):
        ahead += scores(w)[s] >= mine  # ties go by name
    for s in range(symbol + 1, w.symbols):
        ahead += scores(w)[s] > mine
    return bool(ahead < w.universe_size)


@kernel
def rank(w: Row) -> None:
    """Score who is kept of the last scan as `weighted_ranks` would score them alone."""
    scan, count = account_of(w).scan, account_of(w).kept
    for s in range(w.symbols):
        scores(w)[s] = 0.0 if kept(w)[s] else BANNED
    weights = w.weights
    total = weights[0] + weights[1] + weights[2]
    if not (total > 0.0 and count > 1):
        return
    for part in range(3):
        weight = weights[part]
        if not weight > 0.0:
            continue
        for below in range(count):
            shares(w)[below] = weight * (below / (count - 1)) / total
        seen, i, share = 0, 0, 0.0
        while seen < count:
            s = order(w)[scan, part, i]
            if opens(w)[scan, part, i]:
                share = shares(w)[seen]
            if kept(w)[s]:
                scores(w)[s] += share
                seen += 1
            i += 1
