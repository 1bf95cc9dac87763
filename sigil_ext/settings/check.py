"""What is legal in an overlay and still not what its author meant: a cap that always binds, a value without effect.

Start at `warnings_of`.
"""

from __future__ import annotations

from collections.abc import Callable

from sigil_ext.settings.models import VariantSettings, format_duration

Warn = Callable[[VariantSettings], str | None]


def warnings_of(settings: VariantSettings) -> list[str]:
    """Return a sentence for each thing in `settings` that is legal and probably not meant."""
    return [sentence for warn in SETTINGS_WARNINGS.values() if (sentence := warn(settings))]


def _cap_always_binds(s: VariantSettings) -> str | None:
    risk, cap = s.sizing.risk_per_trade_usd, s.sizing.max_position_usd
    if not risk or not cap or risk / (s.hard_stop.cap_pct / 100) <= cap:
        return None
    low, high = cap * s.hard_stop.floor_pct / 100, cap * s.hard_stop.cap_pct / 100
    return (
        f"sizing.max_position_usd ({cap:g}) always binds: a stop would have to be wider than {risk / cap * 100:g} % for "
        f"sizing.risk_per_trade_usd ({risk:g}) to decide, and hard_stop.cap_pct is {s.hard_stop.cap_pct:g}; "
        f"the real risk is {low:.2f} to {high:.2f} USD a trade, not {risk:g}"
    )


def _cap_sometimes_binds(s: VariantSettings) -> str | None:
    risk, cap = s.sizing.risk_per_trade_usd, s.sizing.max_position_usd
    if not risk or not cap or not risk / (s.hard_stop.cap_pct / 100) <= cap < risk / (s.hard_stop.floor_pct / 100):
        return None
    return (
        f"sizing.max_position_usd ({cap:g}) binds for stops under {risk / cap * 100:.2f} %: there the risk is smaller "
        f"than sizing.risk_per_trade_usd ({risk:g})"
    )


def _fixed_stop(s: VariantSettings) -> str | None:
    if s.hard_stop.multiplier == 0:
        return (
            f"hard_stop.multiplier is 0: the stop is fixed at hard_stop.floor_pct ({s.hard_stop.floor_pct:g} %) and "
            "hard_stop.cap_pct has no effect"
        )
    if s.hard_stop.floor_pct == s.hard_stop.cap_pct:
        return "hard_stop.floor_pct equals hard_stop.cap_pct: the stop is fixed and hard_stop.multiplier has no effect"
    return None


def _unused_size(s: VariantSettings) -> str | None:
    if s.sizing.risk_per_trade_usd:
        return None  # position_pct is documented as the other way; base.yaml carries it for everyone
    return "sizing.risk_per_trade_usd is 0: positions are sizing.position_pct of equity, whatever the stop"


def _flat_never(s: VariantSettings) -> str | None:
    return "flat.max_move_pct is 0: flat.after has no effect" if s.flat.max_move_pct == 0 else None


def _never_banned(s: VariantSettings) -> str | None:
    if s.ban.after == 0:
        return "ban.after is 0: no symbol is ever banned and the other ban.* values have no effect"
    return None


def _any_volume(s: VariantSettings) -> str | None:
    return "entry.volume_factor is 0: entry.volume_lookback has no effect" if s.entry.volume_factor == 0 else None


def _no_score(s: VariantSettings) -> str | None:
    score = s.universe.score
    if score.atr == score.volume == score.change == 0:
        return "all weights of universe.score are 0: the universe is filled by name"
    return None


def _stacks_past_cooldown(s: VariantSettings) -> str | None:
    if not s.guard.one_position_per_symbol and s.guard.cooldown_from == "open" and s.guard.cooldown_hours:
        return (
            "guard.cooldown_from is open: a cooldown bars the stacked entries that guard.one_position_per_symbol allows"
        )
    return None


def _long_cash(s: VariantSettings) -> str | None:
    cap = s.sizing.max_position_usd
    if not cap or cap * s.guard.max_open_positions <= s.sizing.starting_balance:
        return None
    return (
        f"guard.max_open_positions ({s.guard.max_open_positions}) times sizing.max_position_usd ({cap:g}) exceeds "
        f"sizing.starting_balance ({s.sizing.starting_balance:g}): cash runs out first"
    )


def _coarse_scan(s: VariantSettings) -> str | None:
    if s.universe.every.total_seconds() > 86400:
        return f"universe.every is {format_duration(s.universe.every)}: entries follow a universe older than a day"
    return None


SETTINGS_WARNINGS: dict[str, Warn] = {
    "cap_always_binds": _cap_always_binds,
    "cap_sometimes_binds": _cap_sometimes_binds,
    "fixed_stop": _fixed_stop,
    "share_of_equity": _unused_size,
    "flat_never": _flat_never,
    "never_banned": _never_banned,
    "any_volume": _any_volume,
    "no_score": _no_score,
    "stacks_past_cooldown": _stacks_past_cooldown,
    "cash_runs_out": _long_cash,
    "coarse_scan": _coarse_scan,
}
