"""Where the money went: the net result cut into parts that add up to it, taken off one after the other in a stated order.

Each part is the difference between two versions of the same run, so another order would cut it otherwise: what two causes
share goes to the one that is taken off first. Start at `decompose`; `PARTS` is the order and says what each part is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigil_ext.research.diagnosis.candles import Candles
from sigil_ext.research.diagnosis.entries import Buy, ExitRule, Run
from sigil_ext.research.diagnosis.ladder import by_day
from sigil_ext.research.diagnosis.noise import Noise, drawable
from sigil_ext.research.diagnosis.walk import walk, walk_many
from sigil_ext.research.statistics import bootstrap_total
from sigil_ext.rules.protections import active_bar, after_hard_stop, with_cooldown
from sigil_ext.rules.types import Protection
from sigil_ext.settings.models import BanSettings

Floats = NDArray[np.float64]

# The order of the cut; each sentence says what is compared with what.
PARTS: dict[str, str] = {
    "costs": "net P&L less P&L of the same fills without fee and slippage",
    "re_entry": "that, less the P&L of the entries that today's cooldown and bans and one position a symbol let through; one "
    "that was stacked on a position stands alone then, with its own stop",
    "sizing": "that, less the same entries and exits with the same dollars on each (the mean of their sizes)",
    "geometry": "that, less the same entries with the nearest stop outside the noise, trail as set",
    "payoff": "that, less the same with a trail as wide as that stop, armed by a rise as large as it",
    "entry": "that, less random entries on the same symbols at the same hours under that same rule",
    "market": "what those random entries made: the market, under that rule, without costs",
    "no_candles": "P&L after sizing of positions without candles, of which no more can be said",
}
QUIET = 0.10  # a stop that fewer random entries touch counts as outside the noise
STEPS = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
DRAWS = 50


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
    atr: float
    move: float
    hard_stopped: bool
    closed_at_ms: int


def quiet_stop(noise: Noise, own_atr_pct: Floats) -> tuple[float, float]:
    """Return (ATRs, share of random entries touched) of the nearest step that less than a tenth of random entries touch.

    The widest step where none is quiet.
    """
    multiplier = share = float("nan")
    for multiplier in STEPS:
        widths = multiplier * own_atr_pct
        known = np.isfinite(widths)
        share = float((noise.random[:, known] >= widths[known]).mean()) if known.any() else float("nan")
        if share < QUIET:
            break
    return multiplier, share


def decompose(run: Run, candles: Candles, noise: Noise, today: Today, *, seed: int) -> dict[str, Any]:
    """Return the parts of the run's net result in order: USD, interval by day, and what they were computed with."""
    positions, rule = run.positions, run.rule
    n = len(positions)
    alone = _standing_alone(run, candles)
    kept = _kept(run, alone, today)
    gross = np.array([sum(b.qty * (p.exit_price - b.price) for b in p.buys) for p in positions])
    net = np.array([p.pnl_usd for p in positions])
    dollars = float(np.mean([e.buy.qty * e.buy.price for e in kept])) if kept else 0.0
    multiplier, share = quiet_stop(noise, noise.own_atr[0] if noise.own_atr.size else np.empty(0))
    wide = rule.atrs(multiplier, free=True)
    matched = wide.trailing(multiplier, activation=multiplier)
    after = {name: np.zeros(n) for name in ("kept", "equal", "wide", "matched", "random", "dark")}
    drawn = np.random.default_rng(seed)
    reached = {int(i) for i in noise.places}
    for e in kept:
        p = positions[e.place]
        after["kept"][e.place] += e.buy.qty * e.buy.price * e.move
        after["equal"][e.place] += dollars * e.move
        if e.place not in reached or p.by_hand:
            after["dark"][e.place] += dollars * e.move
            continue
        found = candles.of(p.symbol)
        assert found is not None
        after["wide"][e.place] += dollars * _move(found, e, wide)
        after["matched"][e.place] += dollars * _move(found, e, matched)
        at_random = drawn.choice(drawable(p, candles), DRAWS)
        after["random"][e.place] += dollars * float(walk_many(found, at_random, matched)[0].mean())
    values = {
        "costs": net - gross,
        "re_entry": gross - after["kept"],
        "sizing": after["kept"] - after["equal"],
        "geometry": after["equal"] - after["dark"] - after["wide"],
        "payoff": after["wide"] - after["matched"],
        "entry": after["matched"] - after["random"],
        "market": after["random"],
        "no_candles": after["dark"],
    }
    return {
        "net_usd": float(net.sum()),
        "parts": [
            {"name": name, "usd": float(v.sum()), "interval": bootstrap_total(by_day(positions, v), seed=seed).document()}
            | {"means": PARTS[name]}
            for name, v in values.items()
            if name != "no_candles" or v.any()
        ],
        "entries": sum(len(p.buys) for p in positions),
        "entries_kept": len(kept),
        "mean_notional_usd": dollars,
        "quiet_stop_atr": multiplier,
        "quiet_stop_touched": share,
        "random_draws": DRAWS,
        "cooldown_hours": today.cooldown_hours,
    }  # fmt: skip


def _standing_alone(run: Run, candles: Candles) -> list[list[_Entry]]:
    """Return each position's buys as entries of their own: the actual exit of a single buy, else a walk under the rule."""
    found = []
    for place, p in enumerate(run.positions):
        series = candles.of(p.symbol)
        if len(p.buys) == 1 or series is None or p.by_hand:
            found.append(
                [_Entry(place, b, p.atr, p.exit_price / b.price - 1, p.hard_stopped, p.closed_at_ms) for b in p.buys]
            )
            continue
        entries = []
        for b in p.buys:
            atr = p.atr if b is p.buys[0] and p.atr == p.atr else series.atr_at(b.at_ms)
            w = walk(series, (b,), atr, run.rule)
            entries.append(_Entry(place, b, atr, w.exit_price / b.price - 1, w.reason == "hard_stop", w.closed_at_ms))
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


def _move(found: Any, e: _Entry, rule: ExitRule) -> float:
    atr = e.atr if e.atr == e.atr else found.atr_at(e.buy.at_ms)
    return walk(found, (replace(e.buy, qty=1.0),), atr, rule).exit_price / e.buy.price - 1


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
