"""Why a scan took a symbol or left it, in words: which filter, which figure, which setting. Start at `explain`.

Pure, from a stored row and settings alone. `FILTER_WORDS` has a line for each filter of `universe.UNIVERSE_FILTERS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sigil_ext.rules.types import UniverseRow, UniverseScan
from sigil_ext.rules.universe import ACCEPTED, HELD, RANKED_OUT, UNIVERSE_FILTERS, Measures, UniverseLimits

UNKNOWN = "not stored"


@dataclass(frozen=True, slots=True)
class Limit:
    """How a filter speaks: its figure, the setting it is held against, and the words for both outcomes."""

    figure: Callable[[Measures], str]
    setting: str
    value: Callable[[UniverseLimits], float]
    unit: str
    refused: str
    passed: str
    zero_is_none: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """One filter on one symbol; `refuses` is None where the figure was not stored."""

    filter: str
    refuses: bool | None
    sentence: str


@dataclass(frozen=True, slots=True)
class ScorePart:
    """What one measure added to the score: its place among those that passed, its rank 0..1 and its weight."""

    measure: str
    place: int
    of: int
    rank: float
    weight: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a symbol is in or out: in a sentence, filter by filter, and what made its score."""

    sentence: str
    checks: tuple[Check, ...]
    score: tuple[ScorePart, ...]
    follows: bool
    """False when the stored reason does not follow from the stored figures and these settings."""


def number(value: float) -> str:
    """Return a figure for people: four significant digits, thousands set apart."""
    if not math.isfinite(value):
        return UNKNOWN if math.isnan(value) else "unbounded"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _pct(name: str, key: str) -> Callable[[Measures], str]:
    return lambda m: f"{name} {number(getattr(m, key))} %"


def _hours(limits: UniverseLimits) -> float:
    return limits.min_age.total_seconds() / 3600


FILTER_WORDS: dict[str, Limit | None] = {
    "no_candles": None,
    "too_young": Limit(lambda m: f"age {number(m.age_hours)} h", "min_age", _hours, " h", "is under", "is at least"),
    "banned": None,
    "volume_too_low": Limit(
        lambda m: f"quote volume of 24 h {number(m.quote_volume_usd)} USD", "min_quote_volume_usd",
        lambda u: u.min_quote_volume_usd, " USD", "is under", "is at least",
    ),
    "volume_too_high": Limit(
        lambda m: f"quote volume of 24 h {number(m.quote_volume_usd)} USD", "max_quote_volume_usd",
        lambda u: u.max_quote_volume_usd, " USD", "is over", "is not over", zero_is_none=True,
    ),
    "atr_too_low": Limit(_pct("ATR", "atr_pct"), "min_atr_pct", lambda u: u.min_atr_pct, " %", "is under", "is at least"),
    "atr_too_high": Limit(_pct("ATR", "atr_pct"), "max_atr_pct", lambda u: u.max_atr_pct, " %", "is over", "is not over"),
    "price_too_low": Limit(
        lambda m: f"price {number(m.price)}", "min_price", lambda u: u.min_price, "", "is under", "is at least"
    ),
    "price_too_high": Limit(
        lambda m: f"price {number(m.price)}", "max_price", lambda u: u.max_price, "", "is over", "is not over",
        zero_is_none=True,
    ),
    "tick_too_coarse": Limit(
        _pct("smallest price step", "tick_pct"), "max_tick_pct", lambda u: u.max_tick_pct, " %", "is over", "is not over"
    ),
    "too_many_empty_candles": Limit(
        _pct("candles without a trade", "zero_volume_pct"), "max_zero_volume_pct", lambda u: u.max_zero_volume_pct, " %",
        "are over", "are not over",
    ),
}  # fmt: skip


def measures_of(row: UniverseRow) -> Measures:
    """Return a stored row's figures; NaN for what was not stored."""
    known = {key: row.measures.get(key, math.nan) for key in Measures.__dataclass_fields__}
    stored = known["candles"]
    return Measures(
        row.symbol, int(stored) if math.isfinite(stored) else -1, known["age_hours"], known["price"],
        known["quote_volume_usd"], known["atr_pct"], known["tick_pct"], known["zero_volume_pct"], known["change_pct"],
        banned=row.reason == "banned", held=row.reason == HELD,
    )  # fmt: skip


def check(name: str, row: UniverseRow, limits: UniverseLimits, ban_until: datetime | None = None) -> Check:
    """Return what filter `name` says of a stored row, with its figure and its setting."""
    measures = measures_of(row)
    words = FILTER_WORDS[name]
    if name == "banned":
        if measures.banned or ban_until is not None:
            until = f" until {ban_until:%Y-%m-%d %H:%M} UTC" if ban_until is not None else ""
            return Check(name, True, f"banned{until}")
        return Check(name, False, "not banned")
    if not row.measures:
        return Check(name, None, f"its figures were {UNKNOWN}")
    if words is None:
        count = measures.candles
        return Check(name, count == 0, f"{count} candles in 24 h" if count else "no candle in 24 h")
    limit = words.value(limits)
    if words.zero_is_none and not limit:
        return Check(name, False, f"universe.{words.setting} is 0: no limit")
    refuses = UNIVERSE_FILTERS[name](measures, limits)
    said = f"universe.{words.setting} ({number(limit)}{words.unit})"
    return Check(name, refuses, f"{words.figure(measures)} {words.refused if refuses else words.passed} {said}")


def explain(
    scan: UniverseScan, row: UniverseRow, limits: UniverseLimits, ban_until: datetime | None = None
) -> Explanation:
    """Return why `row` of `scan` is in the universe or not.

    Args:
        limits: the settings that the scan was made with. ban_until: of a ban that stood then.
    """
    checks = tuple(check(name, row, limits, ban_until) for name in FILTER_WORDS)
    refusals = [c for c in checks if c.refuses]
    derived = refusals[0].filter if refusals else None
    if row.reason in (ACCEPTED, RANKED_OUT):
        within = row.rank is not None and row.rank <= limits.size
        follows = derived is None and within == (row.reason == ACCEPTED)
    else:
        follows = row.reason == HELD or derived == row.reason
    return Explanation(_sentence(scan, row, limits, checks), checks, score_parts(scan, row, limits), follows)


def why(scan: UniverseScan, row: UniverseRow, limits: UniverseLimits, ban_until: datetime | None = None) -> str:
    """Return the reason of a row as half a sentence, with its figure and its setting."""
    passed = sum(1 for r in scan.rows if r.rank is not None)
    score = f" ({row.score:.3f})" if row.score is not None else ""
    place = f"number {row.rank} of {passed} by score{score}" if row.rank is not None else "without a rank"
    if row.reason == ACCEPTED:
        return f"{place}, within universe.size ({limits.size})"
    if row.reason == RANKED_OUT:
        return f"{place}, and universe.size is {limits.size}"
    if row.reason == HELD:
        return "a position was open on it"
    if row.reason in FILTER_WORDS:
        return f"{row.reason}: {check(row.reason, row, limits, ban_until).sentence}"
    return row.reason


def _sentence(scan: UniverseScan, row: UniverseRow, limits: UniverseLimits, checks: tuple[Check, ...]) -> str:
    own = why(scan, row, limits)
    refusals = [c for c in checks if c.refuses]
    if row.reason == ACCEPTED:
        return f"{row.symbol} may be entered: it passed every filter and is {own}"
    if row.reason == RANKED_OUT:
        last = [r for r in scan.rows if r.reason == ACCEPTED and r.score is not None]
        behind = f"; the last one in is {last[-1].symbol} with {last[-1].score:.3f}" if last else ""
        return f"{row.symbol} may not be entered: it passed every filter but is {own}{behind}"
    if row.reason == HELD:
        without = f"refused, {refusals[0].sentence}" if refusals else "ranked out, " + why_ranked(scan, row, limits)
        return f"{row.symbol} stays in the universe because {own}; without it: {without}"
    first = next((c for c in refusals if c.filter == row.reason), None)
    rest = [c.filter for c in refusals if c.filter != row.reason]
    also = f"; it would also fail {', '.join(rest)}" if rest else ""
    return f"{row.symbol} may not be entered: {row.reason}" + (f", {first.sentence}" if first else "") + also


def why_ranked(scan: UniverseScan, row: UniverseRow, limits: UniverseLimits) -> str:
    """Return the place of a row that passed every filter, whatever its reason says."""
    passed = sum(1 for r in scan.rows if r.rank is not None)
    return (
        f"number {row.rank} of {passed} by score, universe.size is {limits.size}"
        if row.rank
        else "its rank is not stored"
    )


def score_parts(scan: UniverseScan, row: UniverseRow, limits: UniverseLimits) -> tuple[ScorePart, ...]:
    """Return what each weighted measure added to the score of a row that passed every filter; equal values share a rank."""
    if row.rank is None:
        return ()
    passed = [measures_of(r) for r in scan.rows if r.rank is not None]
    mine = measures_of(row)
    parts = []
    for name, key, weight in (
        ("ATR", "atr_pct", limits.score.atr),
        ("volume", "quote_volume_usd", limits.score.volume),
        ("change", "change_pct", limits.score.change),
    ):
        if weight > 0:
            values = [_low(getattr(m, key)) for m in passed]
            own = _low(getattr(mine, key))
            below, above = sum(v < own for v in values), sum(v > own for v in values)
            rank = below / (len(passed) - 1) if len(passed) > 1 else 0.0
            parts.append(ScorePart(name, above + 1, len(passed), rank, weight))
    return tuple(parts)


def _low(value: float) -> float:
    return -math.inf if math.isnan(value) else value
