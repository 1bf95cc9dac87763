"""The report of one backtest: a JSON-able document made of a simulation's record, nothing rounded.

Pure: it never runs anything, reads a clock or prints. Start at `build_report`; the figures are in `backtest_stats.py`,
the notes in `backtest_notes.py`. Shares and rates are 0..1, `*_pct` percent, times ISO in UTC, money USD.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from sigil_ext.bridge.records import RunRecord, Trade
from sigil_ext.bridge.simulate import SimulationResult, StrategyRun
from sigil_ext.research import backtest_stats as stats
from sigil_ext.research.backtest_format import shown
from sigil_ext.research.backtest_notes import notes_on
from sigil_ext.research.backtest_stats import DAY_MS, iso
from sigil_ext.settings.overlays import Variant, flatten


def build_report(
    result: SimulationResult,
    what: Variant | StrategyRun,
    *,
    interval_minutes: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Return the report of `result`, which `what` made.

    Args:
        interval_minutes: length of the recorded candles by symbol, where known; longer than a minute is said in the notes.
    """
    record = result.record
    trades = record.trades
    by_reason = stats.grouped(trades, lambda t: t.exit_reason)
    by_symbol = {s: stats.short_line(group) for s, group in stats.grouped(trades, lambda t: t.symbol).items()}
    report = {
        "variant": result.label,
        "start": iso(result.start_ms),
        "finish": iso(result.finish_ms),
        "symbols": list(result.symbols),
        "trades": [trade_row(t) for t in trades],
        "by_exit_reason": {
            reason: stats.trade_line(group, len(trades))
            for reason, group in sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
        },
        "by_symbol": dict(sorted(by_symbol.items(), key=lambda item: (-item[1]["pnl_usd"], item[0]))),
        "refused": _refused(record),
        "metrics": result.metrics,
        "config": flatten(what.settings) if isinstance(what, Variant) else _foreign_config(what),
        "origins": dict(what.origins) if isinstance(what, Variant) else {},
        "totals": _totals(result, isinstance(what, Variant)),
        "by_day": _by_day(trades, result.start_ms, result.finish_ms),
        "by_week": _by_week(trades),
        "by_hour": _by_hour(trades),
        "cap": _cap(trades, what),
        "equity": _equity(result, isinstance(what, Variant)),
        "universe": _universe(record),
        "breaker": {
            "tripped": record.breaker_reason is not None,
            "reason": record.breaker_reason,
            "tripped_at": None if record.breaker_tripped_at_ms is None else iso(record.breaker_tripped_at_ms),
        },
        "costs": _costs(trades, what),
        "notes": notes_on(result, what, interval_minutes or {}),
    }
    safe: dict[str, Any] = stats.json_safe(report)
    return safe


def trade_row(trade: Trade) -> dict[str, Any]:
    """Return one trade as the report has it; see `Trade` for what its figures mean."""
    return {
        "symbol": trade.symbol,
        "side": "short" if trade.fills and trade.fills[0].side == "sell" else "long",
        "opened_at": iso(trade.opened_at_ms),
        "closed_at": iso(trade.closed_at_ms),
        "entry_price": trade.entry_price,
        "exit_price": trade.exit_price,
        "qty": trade.qty,
        "fee": trade.fee,
        "pnl_usd": trade.pnl_usd,
        "exit_reason": trade.exit_reason,
        "atr_at_entry": trade.atr_at_entry,
        "stop_pct": trade.stop_pct,
        "risk_usd": trade.risk_usd,
        "notional_usd": trade.notional_usd,
        "mae_r": trade.mae_r,
        "mfe_r": trade.mfe_r,
        "universe_id": trade.universe_id,
        "hard_stop_price": trade.hard_stop_price,
        "stop_price": trade.stop_price,
        "high_water": trade.high_water,
        "cap_bound": trade.cap_bound,
        "cash_bound": trade.cash_bound,
        "entries": trade.entries,
        "next_24h_high_pct": trade.next_24h_high_pct,
        "next_24h_low_pct": trade.next_24h_low_pct,
        "signal": dict(trade.signal),
    }


def _totals(result: SimulationResult, marked: bool) -> dict[str, Any]:
    """Return the line of all trades, with what only a whole run has: balances, drawdown, exposure, signals."""
    trades, start = result.record.trades, result.starting_balance
    line = stats.trade_line(trades, len(trades))
    by_close = sorted(trades, key=lambda t: t.closed_at_ms)
    closed = start + np.concatenate(([0.0], np.cumsum([t.pnl_usd for t in by_close])))
    share, most = stats.exposure(trades, result.start_ms, result.finish_ms)
    return line | {
        "starting_balance": start,
        "final_equity": float(result.equity[-1]) if len(result.equity) else start,
        "final_cash": result.final_cash,
        "net_pnl_usd": line["pnl_usd"],
        "net_pnl_pct": line["pnl_usd"] / start * 100,
        "expectancy_usd": line["avg_pnl_usd"],
        "expectancy_r": line["avg_pnl_r"],
        "max_drawdown_marked": stats.deepest_fall(
            [result.start_ms, *result.equity_times_ms], np.concatenate(([start], result.equity))
        )
        if marked
        else None,
        "max_drawdown_closed": stats.deepest_fall([result.start_ms, *(t.closed_at_ms for t in by_close)], closed),
        "exposure": share,
        "max_open_positions": most,
        "longest_win_streak": stats.longest_streak(trades, won=True),
        "longest_loss_streak": stats.longest_streak(trades, won=False),
        "signals_acted": result.record.signals_acted,
        "signals_refused": sum(result.record.signals_refused.values()),
    }


def _refused(record: RunRecord) -> dict[str, dict[str, int]]:
    reasons = sorted(
        record.bars_refused.keys() | record.signals_refused.keys(),
        key=lambda r: (-record.signals_refused[r], -record.bars_refused[r], r),
    )
    return {r: {"signals": record.signals_refused[r], "bars": record.bars_refused[r]} for r in reasons}


def _by_day(trades: Sequence[Trade], start_ms: int, finish_ms: int) -> list[dict[str, Any]]:
    """Return a line for every day of the period, by time of close; days without a close included."""
    closed = stats.grouped(trades, lambda t: t.closed_at_ms // DAY_MS)
    # A period that ends at midnight holds nothing of the next day, except what closes at that very instant.
    days = range(start_ms // DAY_MS, max((finish_ms - 1) // DAY_MS, max(closed, default=0)) + 1)
    return [{"day": iso(day * DAY_MS)[:10]} | stats.short_line(closed.get(day, [])) for day in days]


def _by_week(trades: Sequence[Trade]) -> list[dict[str, Any]]:
    """Return a line for every week with a close; a week is named by its Monday."""

    def monday(trade: Trade) -> str:
        day = datetime.fromtimestamp(trade.closed_at_ms // 1000, UTC)
        return (day - timedelta(days=day.weekday())).strftime("%Y-%m-%d")

    return [{"week": week} | stats.short_line(group) for week, group in sorted(stats.grouped(trades, monday).items())]


def _by_hour(trades: Sequence[Trade]) -> list[dict[str, Any]]:
    """Return 24 lines, by the hour of the day (UTC) of the entry."""
    opened = stats.grouped(trades, lambda t: t.opened_at_ms // 3_600_000 % 24)
    return [{"hour": hour} | stats.short_line(opened.get(hour, [])) for hour in range(24)]


def _cap(trades: Sequence[Trade], what: Variant | StrategyRun) -> dict[str, Any]:
    if isinstance(what, Variant):
        sizing = what.settings.sizing
        return stats.cap_figures(
            trades, sizing.max_position_usd, sizing.risk_per_trade_usd, what.settings.hard_stop.cap_pct
        )
    sentence = "A foreign strategy sizes its positions itself; its risk at a stop is not known."
    return stats.cap_figures(trades, 0.0, 0.0, 0.0) | {"sentence": sentence}


def _equity(result: SimulationResult, marked: bool) -> dict[str, Any]:
    return {
        "marked": marked,
        "times": [iso(int(ms)) for ms in result.equity_times_ms],
        "usd": result.equity,
        "cash_usd": result.cash,
    }


def _universe(record: RunRecord) -> dict[str, Any]:
    sizes = record.universe_sizes
    return {
        "scans": record.scans,
        "size_mean": sum(sizes) / len(sizes) if sizes else None,
        "size_min": min(sizes, default=None),
        "size_max": max(sizes, default=None),
        "reasons": dict(record.universe_reasons.most_common()),
        "refused_signals": _outside_universe(record),
    }


def _outside_universe(record: RunRecord) -> dict[str, int]:
    """Return why the symbols of signals refused as not_in_universe were outside it: reason of the last scan -> signals.

    A ban shows here and hardly ever as a refusal of its own, because the universe leaves banned symbols out first.
    """
    scanned_ms = [at for at, _ in record.scan_log]
    reasons: Counter[str] = Counter()
    for signal in record.refused_signals:
        last = bisect_right(scanned_ms, signal["at_ms"]) - 1
        if signal["reason"] == "not_in_universe" and last >= 0:
            reasons[dict(record.scan_log[last][1]).get(signal["symbol"], "not_scanned")] += 1
    return dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))


def _costs(trades: Sequence[Trade], what: Variant | StrategyRun) -> dict[str, Any]:
    """Return the cost model and what it took; `gross_pnl_usd` is the P&L with costs added back."""
    paid, net = sum(t.fee for t in trades), sum(t.pnl_usd for t in trades)
    if isinstance(what, Variant):
        costs = what.settings.costs
        model = {"fee_pct": costs.fee_pct, "slippage_pct": costs.slippage_pct, "rate": costs.rate}
    else:
        model = {"fee_pct": what.cost_rate * 100, "slippage_pct": 0.0, "rate": what.cost_rate}
    return model | {"paid_usd": paid, "gross_pnl_usd": net + paid}


def _foreign_config(what: StrategyRun) -> dict[str, Any]:
    return {
        "strategy": what.path,
        "timeframe": what.timeframe,
        "data_timeframes": list(what.data_timeframes),
        "starting_balance": what.starting_balance,
        "cost_rate": what.cost_rate,
        "market": what.market,
        "hyperparameters": dict(what.hyperparameters or {}),
    }


def refused_lines(report: Mapping[str, Any]) -> list[tuple[str, int, int | None]]:
    """Return (reason, signals, bars) of every refusal; under not_in_universe why, with bars None and a marked reason."""
    lines: list[tuple[str, int, int | None]] = []
    for reason, count in report["refused"].items():
        lines.append((reason, count["signals"], count["bars"]))
        if reason == "not_in_universe":
            lines += [(f"· {why}", n, None) for why, n in report["universe"]["refused_signals"].items()]
    return lines


# --- side by side -------------------------------------------------------------------------------------------------

# (label, how `backtest_format.shown` writes it, path in the report)
SUMMARY: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("trades", "count", ("totals", "count")),
    ("net P&L", "signed_usd", ("totals", "net_pnl_usd")),
    ("net, of start", "signed_pct", ("totals", "net_pnl_pct")),
    ("win rate had", "share", ("totals", "win_rate")),
    ("win rate needed", "share", ("totals", "win_rate_needed")),
    ("payoff ratio", "ratio", ("totals", "payoff_ratio")),
    ("average win", "signed_usd", ("totals", "avg_win_usd")),
    ("average loss", "signed_usd", ("totals", "avg_loss_usd")),
    ("expectancy a trade", "signed_usd", ("totals", "expectancy_usd")),
    ("profit factor", "ratio", ("totals", "profit_factor")),
    ("max drawdown, marked", "pct", ("totals", "max_drawdown_marked", "pct")),
    ("max drawdown, closed", "pct", ("totals", "max_drawdown_closed", "pct")),
    ("time with a position", "share", ("totals", "exposure")),
    ("hard stops", "count", ("by_exit_reason", "hard_stop", "count")),
    ("hard stops, share", "share", ("by_exit_reason", "hard_stop", "share")),
    ("hard stops, P&L", "signed_usd", ("by_exit_reason", "hard_stop", "pnl_usd")),
    ("hard stops, average", "signed_usd", ("by_exit_reason", "hard_stop", "avg_pnl_usd")),
    ("costs paid", "usd", ("costs", "paid_usd")),
    ("P&L before costs", "signed_usd", ("costs", "gross_pnl_usd")),
    ("size cap bound", "share", ("cap", "share")),
    ("risk at the stop, mean", "usd", ("cap", "risk_usd", "mean")),
    ("risk asked for", "usd", ("cap", "risk_per_trade_usd")),
    ("signals acted on", "count", ("totals", "signals_acted")),
    ("signals refused", "count", ("totals", "signals_refused")),
    ("universe, mean size", "ratio", ("universe", "size_mean")),
)


def compare_reports(reports: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of the summary, a figure each, with one value a report: `label`, `kind`, `values`."""
    return [
        {"label": label, "kind": kind, "values": [_summary_value(r, path) for r in reports]}
        for label, kind, path in SUMMARY
    ]


def differing_settings(reports: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the key paths whose values are not the same in all reports: `key`, `values` (None where there is no such key)."""
    keys = list(dict.fromkeys(key for r in reports for key in r["config"]))
    rows = [{"key": key, "values": [r["config"].get(key) for r in reports]} for key in keys]
    return [row for row in rows if any(v != row["values"][0] for v in row["values"])]


def verdict(reports: Sequence[Mapping[str, Any]]) -> str:
    """Return in a sentence or two who made money, and whether the win rates had reach those needed."""
    traded = [r for r in reports if r["trades"]]
    if not traded:
        return "No position was opened."
    won = [r for r in traded if r["totals"]["net_pnl_usd"] > 0]
    best = max(traded, key=lambda r: r["totals"]["net_pnl_usd"])
    result = f"{shown(best['totals']['net_pnl_usd'], 'signed_usd')} in {best['totals']['count']:,d} trades"
    if len(traded) == 1:
        sentence = f"{best['variant']} {'made' if won else 'did not make'} money: {result}."
    else:
        sentence = f"{len(won) or 'None'} of {len(traded)} runs made money; best was {best['variant']}, {result}."
    rates = [(r["totals"]["win_rate"], r["totals"]["win_rate_needed"]) for r in traded]
    gaps = [(had - needed) * 100 for had, needed in rates if needed is not None]
    short = sorted(-gap for gap in gaps if gap < 0)
    if not gaps:
        return sentence
    if not short:
        return f"{sentence} Win rates reach what the payoff needs."
    who = "It" if len(traded) == 1 else "Every run" if len(short) == len(traded) else f"{len(short)} of them"
    by = f"{short[0]:.0f}" if f"{short[0]:.0f}" == f"{short[-1]:.0f}" else f"{short[0]:.0f} to {short[-1]:.0f}"
    return f"{sentence} {who} won too seldom for its payoff, by {by} percentage points."


def _summary_value(report: Mapping[str, Any], path: Sequence[str]) -> Any:
    if path[:2] == ("by_exit_reason", "hard_stop") and "hard_stop" not in report["by_exit_reason"]:
        return None if path[-1] == "avg_pnl_usd" or not report["trades"] else 0
    value: Any = report
    for key in path:
        value = None if value is None else value.get(key)
    if path == ("cap", "risk_per_trade_usd") and not value:
        return None
    if path == ("cap", "share") and not report["cap"]["max_position_usd"]:
        return None
    return value
