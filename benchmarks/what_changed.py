"""What each change since the earlier bot does to its hard stops: legacy, then one change at a time, up to baseline.

    python benchmarks/what_changed.py DIR [DIR ...]

runs each step over every folder of candle files and prints number, share and size of hard stops: in USD, in percent of the
position and in R. Steps add up from top to bottom; the alone rows apply one change to legacy only.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from sigil_ext.services.backtest import BacktestPlan, folder_source, run_backtest
from sigil_ext.settings.overlays import Variant, load_variant

ATR_STOP = ["hard_stop.multiplier=1.5"]
COOLDOWN = ["guard.cooldown_from=open", "guard.one_position_per_symbol=true"]
SIZING = ["sizing.risk_per_trade_usd=5", "sizing.max_position_usd=50"]
STEPS: tuple[tuple[str, str, list[str]], ...] = (
    ("legacy", "legacy", []),
    ("+ ATR stop", "legacy", ATR_STOP),
    ("+ cooldown at open", "legacy", ATR_STOP + COOLDOWN),
    ("+ sizing", "legacy", ATR_STOP + COOLDOWN + SIZING),
    ("baseline (+ bans, limits)", "baseline", []),
    ("cooldown at open alone", "legacy", COOLDOWN),
    ("sizing alone", "legacy", SIZING),
)


def main(folders: list[Path]) -> int:
    """Print a Markdown table a folder."""
    for folder in folders:
        runs: tuple[Variant, ...] = tuple(
            replace(load_variant(variant, overrides), name=name) for name, variant, overrides in STEPS
        )
        reports = run_backtest(BacktestPlan(runs, folder_source(folder, None)))
        print(f"\n{folder.name}, {reports[0]['start'][:10]} to {reports[0]['finish'][:10]}\n")
        print(
            "| run | trades | hard stops | share | average USD | average % | average R | their P&L | net P&L | net R |"
        )
        print("|---|---|---|---|---|---|---|---|---|---|")
        for report in reports:
            trades = report["trades"]
            stops = [t for t in trades if t["exit_reason"] == "hard_stop"]
            in_r = [t["pnl_usd"] / t["risk_usd"] for t in stops]
            in_pct = [t["pnl_usd"] / t["notional_usd"] * 100 for t in stops]
            lost, n = sum(t["pnl_usd"] for t in stops), max(1, len(stops))
            net, net_r = sum(t["pnl_usd"] for t in trades), sum(t["pnl_usd"] / t["risk_usd"] for t in trades)
            print(
                f"| {report['variant']} | {len(trades)} | {len(stops)} | {len(stops) / max(1, len(trades)):.0%} "
                f"| {lost / n:.2f} | {sum(in_pct) / n:.2f} | {sum(in_r) / n:.2f} | {lost:.2f} | {net:.2f} | {net_r:.1f} |"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main([Path(argument) for argument in sys.argv[1:]]))
