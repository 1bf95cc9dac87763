"""Where the money went: the net result cut into parts that add up to it, taken off one after the other in a stated order.

Each part is the difference between two versions of the same run, so another order would cut it otherwise: what two causes
share goes to the one that is taken off first. Start at `decompose`; `PARTS` is the order and says what each part is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigil_ext.research.diagnosis.candles import MINUTE_MS, Candles
from sigil_ext.research.diagnosis.compiling import compiled_with_rules
from sigil_ext.research.diagnosis.entries import Buy, Position, Run
from sigil_ext.research.diagnosis.ladder import by_day
from sigil_ext.research.diagnosis.noise import Noise, drawable
from sigil_ext.research.diagnosis.walk import walk
from sigil_ext.research.statistics import Estimate, careful_total
from sigil_ext.rules.indicators import CLOSE, LOW, OPEN
from sigil_ext.rules.protections import active_bar, after_hard_stop, with_cooldown
from sigil_ext.rules.stops import stop_price
from sigil_ext.rules.types import Protection
from sigil_ext.settings.models import BanSettings

Floats = NDArray[np.float64]

# The order of the cut; each sentence says what is compared with what.
PARTS: dict[str, str] = {
    "costs": "net P&L less P&L of the same fills without fee and slippage",
    "re_entry": "that, less the P&L of the entries that today's cooldown and bans and one position a symbol let through; one "
    "that was stacked on a position stands alone then, with its own stop",
    "sizing": "that, less the same entries and exits with the same dollars on each (the mean of their sizes)",
    "payoff": "that, less the same entries left at their stop or after a holding time: what trail and flat exit did",
    "geometry": "that, less the same entries left after the holding time without any stop: what a stop at that distance did",
    "entry": "that, less random entries on the same symbols in the same hours, held as long: what the signal did",
    "market": "what those random entries made: the market, without costs",
    "no_candles": "P&L after sizing of positions without candles or ended by hand, of which no more can be said",
}
DARK = "no entry that is kept has candles"
DRAWS = 200  # holding times, and random entries, for each entry
WALKED = ("payoff", "geometry", "entry", "market")  # what only candles can tell
NO_STOP = 100.0  # percent: a price that is never reached


@compiled_with_rules
def _held(minutes: Floats, indices: NDArray[np.int64], prices: Floats, spans: NDArray[np.int64], pct: float) -> Floats:
    """Return exit over price - 1 of entries at the closes of the minutes `indices`, held `spans` ms under a stop only."""
    found = np.empty(indices.shape[0])
    for k in range(indices.shape[0]):
        stop, until = stop_price(prices[k], pct), minutes[indices[k], 0] + spans[k]
        out, i = prices[k], indices[k] + 1
        while i < minutes.shape[0] and minutes[i, 0] <= until:
            out = minutes[i, CLOSE]
            if minutes[i, OPEN] <= stop:
                out = minutes[i, OPEN]
                break
            if minutes[i, LOW] <= stop:
                out = stop
                break
            i += 1
        found[k] = out / prices[k] - 1.0
    return found


@dataclass(frozen=True, slots=True)
class Today:
    """The protections that re-entries are judged by: those of baseline."""

    cooldown_hours: float
    ban: BanSettings


@dataclass(slots=True)
class _Entry:
    """A buy that is kept, its position, and its move (exit over price - 1) with the exit it has when it stands alone."""

    place: int
    buy: Buy
    stop_pct: float
    move: float
    hard_stopped: bool
    closed_at_ms: int


def decompose(run: Run, candles: Candles, noise: Noise, today: Today, *, seed: int) -> dict[str, Any]:
    """Return the parts of the run's net result in order: USD, interval by day, and what they were computed with.

    A part that takes candles is None where no entry has them. Holding times are those of the noise band: of the run's positions that were not hard-stopped.
    """
    positions = run.positions
    n = len(positions)
    kept = _kept(run, _standing_alone(run, candles), today)
    gross = np.array([sum(b.qty * (p.exit_price - b.price) for b in p.buys) for p in positions])
    net = np.array([p.pnl_usd for p in positions])
    dollars = float(np.mean([e.buy.qty * e.buy.price for e in kept])) if kept else 0.0
    after = {name: np.zeros(n) for name in ("kept", "equal", "stopped", "held", "random", "dark")}
    drawn = np.random.default_rng(seed)
    reached = {int(i) for i in noise.places}
    lit = False
    for e in kept:
        p = positions[e.place]
        after["kept"][e.place] += e.buy.qty * e.buy.price * e.move
        after["equal"][e.place] += dollars * e.move
        if e.place not in reached or p.by_hand:
            after["dark"][e.place] += dollars * e.move
            continue
        lit = True
        for name, move in zip(("stopped", "held", "random"), _without_rules(e, p, candles, noise, drawn), strict=True):
            after[name][e.place] += dollars * move
    values = {
        "costs": net - gross,
        "re_entry": gross - after["kept"],
        "sizing": after["kept"] - after["equal"],
        "payoff": after["equal"] - after["dark"] - after["stopped"],
        "geometry": after["stopped"] - after["held"],
        "entry": after["held"] - after["random"],
        "market": after["random"],
        "no_candles": after["dark"],
    }
    return {
        "net_usd": float(net.sum()),
        "parts": [
            {"name": name, "means": PARTS[name], "usd": float(v.sum()), "interval": _interval(run, v, seed)}
            if lit or name not in WALKED
            else {"name": name, "means": PARTS[name], "usd": None, "interval": Estimate(math.nan, reason=DARK).document()}
            for name, v in values.items()
            if name != "no_candles" or v.any()
        ],
        "entries": sum(len(p.buys) for p in positions),
        "entries_kept": len(kept),
        "mean_notional_usd": dollars,
        "draws": DRAWS,
        "cooldown_hours": today.cooldown_hours,
    }  # fmt: skip


def _without_rules(
    e: _Entry, p: Position, candles: Candles, noise: Noise, drawn: np.random.Generator
) -> tuple[float, float, float]:
    """Return the mean move of an entry held for drawn times with its stop, without it, and of random entries without it."""
    found = candles.of(p.symbol)
    assert found is not None
    spans = (drawn.choice(noise.holding_minutes, DRAWS) * MINUTE_MS).astype(np.int64)
    own = np.full(DRAWS, int(np.searchsorted(found.ends_ms, e.buy.at_ms, side="right")) - 1)
    prices = np.full(DRAWS, e.buy.price)
    at_random = drawn.choice(drawable(p, candles), DRAWS)
    moves = (
        _held(found.minutes, own, prices, spans, e.stop_pct),
        _held(found.minutes, own, prices, spans, NO_STOP),
        _held(found.minutes, at_random, found.minutes[at_random, CLOSE], spans, NO_STOP),
    )
    stopped, held, random = (float(m.mean()) for m in moves)
    return stopped, held, random


def _interval(run: Run, values: Floats, seed: int) -> dict[str, Any]:
    """Return the interval by day; what only rounding left is nothing."""
    return careful_total(by_day(run.positions, np.where(np.abs(values) < 1e-9, 0.0, values)), seed=seed).document()


def _standing_alone(run: Run, candles: Candles) -> list[list[_Entry]]:
    """Return each position's buys as entries of their own: the actual exit of a single buy, else a walk under the rule."""
    found = []
    for place, p in enumerate(run.positions):
        series = candles.of(p.symbol)
        stop = p.stop_pct if p.stop_pct == p.stop_pct else run.rule.floor_pct
        if len(p.buys) == 1 or series is None or p.by_hand:
            found.append(
                [_Entry(place, b, stop, p.exit_price / b.price - 1, p.hard_stopped, p.closed_at_ms) for b in p.buys]
            )
            continue
        entries = []
        for b in p.buys:
            atr = p.atr if b is p.buys[0] and p.atr == p.atr else series.atr_at(b.at_ms)
            w = walk(series, (b,), atr, run.rule)
            entries.append(
                _Entry(place, b, w.stop_pct, w.exit_price / b.price - 1, w.reason == "hard_stop", w.closed_at_ms)
            )
        found.append(entries)
    return found


def _kept(run: Run, alone: Sequence[Sequence[_Entry]], today: Today) -> list[_Entry]:
    """Return the entries that today's protections let through, judged in the order of time on what was let through before."""
    entries = sorted((e for group in alone for e in group), key=lambda e: (e.buy.at_ms, e.place))
    protections: dict[str, Protection] = {}
    last: dict[str, _Entry] = {}
    counted: set[int] = set()
    kept = []
    for e in entries:
        symbol, at = run.positions[e.place].symbol, _at(e.buy.at_ms)
        before = last.get(symbol)
        if (
            before is not None
            and before.closed_at_ms <= e.buy.at_ms
            and before.hard_stopped
            and id(before) not in counted
        ):
            counted.add(id(before))
            protections[symbol] = after_hard_stop(
                protections.get(symbol), symbol, at=_at(before.closed_at_ms), ban=today.ban
            )
        is_open = before is not None and before.closed_at_ms > e.buy.at_ms
        if is_open or active_bar(protections.get(symbol), at):
            continue
        protections[symbol] = with_cooldown(
            protections.get(symbol), symbol, until=at + timedelta(hours=today.cooldown_hours), at=at
        )
        last[symbol] = e
        kept.append(e)
    return kept


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
