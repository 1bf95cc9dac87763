"""What a reader of a backtest must know before believing it: what is not modelled, and what is odd about this run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import takewhile

from sigil_ext.bridge.simulate import SimulationResult, StrategyRun
from sigil_ext.research.backtest_stats import iso
from sigil_ext.settings.overlays import Variant

FEW_TRADES = 100
LEGACY = "legacy"
LEGACY_NOTES = (
    "legacy is a model of the earlier bot, not a replay of it: it shows what fixed stop, cooldown at close and stacked "
    "entries do, on the same signals as the entry settings of its overlay (baseline's).",
    "legacy, not modelled: several separate positions on one symbol, each with a stop of its own, are here one position "
    "with an averaged entry and one stop under that average; its reason, MAE and R are those of the whole.",
    "legacy, not modelled: the race between the check at the signal and the entry, and the death of the scheduler.",
    "legacy, milder than the earlier bot: the guard's checks of universe, cash and stale data still apply.",
)
POSTURE = (
    "Variants differ in posture (how strict their entries are) and in stop multiplier at once: comparing two of them does "
    "not isolate either."
)
TOLERANCE_USD = 0.01
CLUSTERED = 0.25


def notes_on(result: SimulationResult, what: Variant | StrategyRun, interval_minutes: Mapping[str, int]) -> list[str]:
    """Return the notes of a run, the weightiest first."""
    notes: list[str] = []
    trades = result.record.trades
    if not trades:
        notes.append("No position was opened in this period: there is nothing to judge.")
    elif len(trades) < FEW_TRADES:
        notes.append(f"{len(trades)} trades are too few for a verdict; rates and averages may be luck.")
    if result.record.breaker_reason is not None:
        at = iso(result.record.breaker_tripped_at_ms or result.finish_ms)[:16].replace("T", " ")
        notes.append(
            f"The breaker tripped at {at} UTC ({result.record.breaker_reason}) and refused every entry from then on: the "
            "figures cover a shorter run than the period says."
        )
    if what.name == LEGACY:
        notes.extend(LEGACY_NOTES)
    coarse = sorted({m for m in interval_minutes.values() if m > 1})
    if coarse:
        length = f"{coarse[0]}" if len(coarse) == 1 else f"{coarse[0]} to {coarse[-1]}"
        notes.append(
            f"Candles of {length} minutes were replayed as observed minutes: stops are {length} minutes coarse, and what "
            "came first inside one candle is not known."
        )
    empty = list(takewhile(lambda size: size == 0, result.record.universe_sizes))
    if empty and isinstance(what, Variant):
        hours = len(empty) * what.settings.universe.every.total_seconds() / 3600
        notes.append(
            f"The universe was empty at the first {len(empty)} scans: no trade was possible in about the first {hours:g} "
            "hours, which every share of time counts in."
        )
    together = sum(n for n in Counter(t.opened_at_ms for t in trades).values() if n > 1)
    if together > len(trades) * CLUSTERED:
        notes.append(
            f"{together} of {len(trades)} entries came at the same bar as another one: such trades are one bet on the "
            "market more than several, and count for fewer than they are."
        )
    ended = sum(t.exit_reason == "session_end" for t in trades)
    if ended:
        positions = "1 position was" if ended == 1 else f"{ended} positions were"
        notes.append(f"{positions} still open at the end and closed at the last price (session_end).")
    unknown = sum(t.next_24h_high_pct is None for t in trades)
    if isinstance(what, Variant):
        notes.append(POSTURE)
        if unknown:
            notes.append(
                f"The next 24 hours are unknown after {unknown} of {len(trades)} exits: the candles end before."
            )
        notes.append(
            "Fee and slippage are one rate on each side. A stop fills at its price, or at the open of a minute that opens "
            "beyond it; the order book and what an order moves in it are not modelled."
        )
    booked = result.starting_balance + sum(t.pnl_usd for t in trades)
    if trades and abs(booked - result.final_cash) > TOLERANCE_USD:
        notes.append(
            f"The books do not close: start plus all trades is ${booked:,.2f}, the wallet held ${result.final_cash:,.2f} "
            "after the last close."
        )
    if isinstance(what, Variant) and trades:
        notes.extend(_jesse_differs(result))
    notes.extend(result.notes)
    return notes


def _jesse_differs(result: SimulationResult) -> list[str]:
    """Say where Jesse's own metrics part from what the wallet gained or lost."""
    net, rate = result.metrics.get("net_profit"), result.metrics.get("win_rate")
    trades = result.record.trades
    wallet = sum(t.pnl_usd for t in trades)
    had = sum(t.pnl_usd > 0 for t in trades) / len(trades)
    if net is None or rate is None or (abs(net - wallet) < TOLERANCE_USD and abs(rate - had) < 1e-9):
        return []
    return [
        f"Jesse's own metrics say net {net:+,.2f} and {rate * 100:.1f} % won; the wallet says {wallet:+,.2f} and "
        f"{had * 100:.1f} %. On spot the fee of a buy is taken in coins, which Jesse's trade does not follow to the exit. "
        "This report counts the wallet."
    ]
