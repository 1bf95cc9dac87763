"""What a diagnosis says, in plain sentences made of its figures; nothing is said that the figures do not show."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sigil_ext.research.backtest_format import counted


def sentences_of(run: Mapping[str, Any]) -> list[str]:
    """Return the findings of one run, the weightiest first."""
    if not run["positions"]:
        return ["No position was closed."]
    said = (_result, _noise, _payoff, _ladder, _trails, _parts, _repeat, _back)
    return [s for s in (sentence(run) for sentence in said) if s]


def _result(run: Mapping[str, Any]) -> str:
    hard = run["hard_stops"]
    return (
        f"{counted(run['positions'], 'position')} made {_usd(run['net_usd'])}; {hard['count']:,} of them ({_pct(hard['share'])}) ended at "
        f"the hard stop and made {_usd(hard['net_usd'])}."
    )


def _noise(run: Mapping[str, Any]) -> str | None:
    n, d = run["noise"], run["distance"]
    if not n["positions"]:
        return None
    gap = n["difference"]
    low, high = (gap["low"], gap["high"]) if gap["low"] is not None else (n["own"] - n["high"], n["own"] - n["low"])
    where = "above" if low > 0 else "under" if high < 0 else "within"
    says = {
        "within": "no difference is shown between the entries and chance",
        "above": "the entries fall more often than chance does",
        "under": "the entries fall less often than chance does",
    }[where]
    return (
        f"The stop stood {d['stop_pct']['median']:.1f} % or {d['stop_atr']['median']:.1f} ATRs away (medians). Within a holding "
        f"time (median {n['holding_minutes']['median'] / 60:.1f} h) {_pct(n['random'])} of random entries on the same symbols "
        f"and hours touch it ({_pct(n['low'])} to {_pct(n['high'])}), of the entries themselves {_pct(n['own'])}: {says}."
    )


def _payoff(run: Mapping[str, Any]) -> str | None:
    p = run["payoff"]
    had, needed = p["win_rate"], p["win_rate_needed"]
    if math.isnan(needed):
        return None
    interval = f" (95 %: {_pct(had['low'])} to {_pct(had['high'])})" if had["low"] is not None else ""
    gap = (had["value"] - needed) * 100
    return (
        f"Won were {_pct(had['value'])}{interval}; wins of {_usd(p['mean_win_usd'])} against losses of {_usd(p['mean_loss_usd'])} "
        f"need {_pct(needed)}: {abs(gap):.1f} points {'too few' if gap < 0 else 'more than that'}. Before costs "
        f"{_pct(p['win_rate_before_costs'])} of the {_pct(p['win_rate_needed_before_costs'])} needed."
    )


def _ladder(run: Mapping[str, Any]) -> str | None:
    rungs = run["ladder"][1:]
    if not rungs or not rungs[0]["positions"]:
        return None
    best = max(rungs, key=lambda r: r["net_usd"])
    made = [r for r in rungs if r["net_usd"] > 0]
    shown = [r for r in rungs if (r["against_as_set"]["low"] or 0) > 0]
    return (
        f"Of {len(rungs)} other stops on the same entries {len(made) or 'none'} made money; the best, {best['label']}, made "
        f"{_usd(best['net_usd'])} with {_pct(best['hard_stop_share'])} hard stops. {len(shown) or 'None'} of them "
        f"{'is' if len(shown) < 2 else 'are'} shown to be better than the stop as set (95 %, each looked at alone)."
    )


def _trails(run: Mapping[str, Any]) -> str | None:
    """A trail that changes nothing, such as the one as set, is no other one."""
    rungs = [r for r in run["trails"][1:] if r["positions"] and r["against_as_set"]["value"] != 0]
    if not rungs:
        return None
    made = sum(r["net_usd"] > 0 for r in rungs)
    best = max(rungs, key=lambda r: r["net_usd"])
    better = [r for r in rungs if (r["against_as_set"]["low"] or 0) > 0]
    worse = sum((r["against_as_set"]["high"] or 0) < 0 for r in rungs)
    named = ", ".join(
        f"{r['label']} by {_usd(r['against_as_set']['value'])} ({_usd(r['against_as_set']['low'])} to "
        f"{_usd(r['against_as_set']['high'])})"
        for r in better
    )
    return (
        f"Of {counted(len(rungs), 'other trail')} on the same entries {made or 'none'} made money; the best, {best['label']}, made "
        f"{_usd(best['net_usd'])}. Shown to be better than the trail as set: {named or 'none'}; shown to be worse: "
        f"{worse or 'none'} (95 %, each looked at alone)."
    )


def _parts(run: Mapping[str, Any]) -> str:
    parts = sorted((p for p in run["parts"]["parts"] if p["usd"] is not None), key=lambda p: p["usd"])
    worst = ", ".join(f"{p['name'].replace('_', ' ')} {_usd(p['usd'])}" for p in parts[:3] if p["usd"] < -0.005)
    best = ", ".join(f"{p['name'].replace('_', ' ')} {_usd(p['usd'])}" for p in reversed(parts) if p["usd"] > 0.005)
    return f"Cut into parts that add up, in a stated order: {worst or 'no part lost'}" + (f"; {best}." if best else ".")


def _repeat(run: Mapping[str, Any]) -> str | None:
    o = run["offenders"]
    if not run["hard_stops"]["count"]:
        return None
    soon = sum(line["hard_stops"] for line in o["since_last_entry"] if line["since"] in ("under 1 h", "1 to 6 h"))
    stacked = f"; {o['stacked']:,} entries were stacked on an open position" if o["stacked"] else ""
    return (
        f"{o['hard_stops_on_repeat_symbols']:,} of {run['hard_stops']['count']:,} hard stops fell on symbols that had more than "
        f"one; the worst five symbols lost {_pct(o['share_of_worst_five'])} of it. {soon:,} came on a position opened within 6 "
        f"hours of the last entry on its symbol{stacked}."
    )


def _back(run: Mapping[str, Any]) -> str | None:
    back = run["excursions"]["back_at_entry_in_24h"]
    if not back["n"]:
        return None
    return (
        f"After {_pct(back['value'])} of {back['n']:,} hard stops (95 %: {_pct(back['low'])} to {_pct(back['high'])}) the price "
        "stood at the entry again within 24 hours."
    )


def _usd(value: float) -> str:
    return f"{'-' if value < 0 else '+'}${abs(value):,.2f}"


def _pct(share: float) -> str:
    return f"{share * 100:.1f} %"
