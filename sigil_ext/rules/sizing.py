"""Position size over bare numbers: constant dollar risk, or a share of equity, under a cap and never above free cash."""

from __future__ import annotations

import math

from sigil_ext.rules.compiled import compiled


@compiled
def position_size(
    entry: float,
    stop_pct: float,
    equity: float,
    free_cash: float,
    risk_per_trade_usd: float,
    max_position_usd: float,
    position_pct: float,
) -> tuple[float, bool, bool]:
    """Return (quantity, cap bound, cash bound): how much to buy and which limit, if any, made it smaller than asked for.

    Asked for is `risk_per_trade_usd / (stop_pct / 100)`, or `position_pct` percent of `equity` where the risk is 0.
    The quantity times `entry` never exceeds `free_cash`, rounding included. 0 where there is no cash.

    Args:
        entry: price, > 0. stop_pct: percent, > 0. equity, free_cash: USD. max_position_usd: USD, 0 = no cap.
    """
    if risk_per_trade_usd > 0.0:
        asked = risk_per_trade_usd / (stop_pct / 100.0)
    else:
        asked = equity * position_pct / 100.0
    cap_bound = max_position_usd > 0.0 and asked > max_position_usd
    notional = max_position_usd if cap_bound else asked
    cash_bound = notional > free_cash
    if cash_bound:
        notional = max(free_cash, 0.0)
        cap_bound = False
    quantity = notional / entry
    # The division may round up: what is bought must not cost a hair more than there is, nor risk more than allowed.
    while quantity > 0.0 and quantity * entry > notional:
        quantity = math.nextafter(quantity, 0.0)
    return quantity, cap_bound, cash_bound


@compiled
def risk_usd(notional_usd: float, stop_pct: float) -> float:
    """Return the dollars lost when the hard stop fills at its price, costs not counted."""
    return notional_usd * stop_pct / 100.0
