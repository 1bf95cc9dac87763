"""The models behind overlays/*.yaml: frozen, closed to unknown keys, units in the names.

Key paths (`hard_stop.multiplier`) are a public contract: overlays, --set, grid axes and reports use them.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

TIMEFRAME_MINUTES: dict[str, int] = {
    "1m": 1,
    "3m": 3,
    "5m": 5,
    "15m": 15,
    "30m": 30,
    "45m": 45,
    "1h": 60,
    "2h": 120,
    "3h": 180,
    "4h": 240,
    "6h": 360,
    "8h": 480,
    "12h": 720,
    "1D": 1440,
}

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"^(\d+(?:\.\d+)?)([smhd])$")


def parse_duration(value: Any) -> Any:
    """Return a timedelta for text like `15m`, `8h`, `7d`; anything else is left to pydantic to refuse."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str) and (match := _DURATION.match(value.strip())):
        return timedelta(seconds=float(match[1]) * _UNIT_SECONDS[match[2]])
    raise ValueError("must be a duration like 15m, 8h or 7d")


def format_duration(value: timedelta) -> str:
    """Return the shortest text that `parse_duration` reads back to the same value."""
    seconds = value.total_seconds()
    for unit in ("d", "h", "m"):
        if seconds and seconds % _UNIT_SECONDS[unit] == 0:
            return f"{int(seconds // _UNIT_SECONDS[unit])}{unit}"
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    Field(gt=timedelta(0)),
    PlainSerializer(format_duration, return_type=str),
]
Timeframe = Literal["1m", "3m", "5m", "15m", "30m", "45m", "1h", "2h", "3h", "4h", "6h", "8h", "12h", "1D"]
Pct = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Section(BaseModel):
    """A part of an overlay: frozen and closed, so that a misspelt key is an error and not a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class EntrySettings(Section):
    """Breakout entry on closed bars of `signal_timeframe`."""

    breakout_lookback: int = Field(ge=1, le=200)
    volume_factor: Amount
    volume_lookback: int = Field(ge=1, le=200)
    rsi_min: Pct
    rsi_max: Pct

    @model_validator(mode="after")
    def _band_is_not_empty(self) -> EntrySettings:
        if self.rsi_min > self.rsi_max:
            raise ValueError(f"entry.rsi_min ({self.rsi_min:g}) must not exceed entry.rsi_max ({self.rsi_max:g})")
        return self


class HardStopSettings(Section):
    """Stop distance, fixed at entry."""

    multiplier: float = Field(ge=0, le=50, allow_inf_nan=False)
    floor_pct: float = Field(ge=0.1, lt=100, allow_inf_nan=False)  # nearer, Jesse would sell at once
    cap_pct: float = Field(gt=0, lt=100, allow_inf_nan=False)

    @model_validator(mode="after")
    def _floor_under_cap(self) -> HardStopSettings:
        if self.floor_pct > self.cap_pct:
            raise ValueError(
                f"hard_stop.floor_pct ({self.floor_pct:g}) must not exceed hard_stop.cap_pct ({self.cap_pct:g})"
            )
        return self


class TrailSettings(Section):
    """ATR trail: armed by a rise, never moving down."""

    activation_atr: float = Field(ge=0, le=50, allow_inf_nan=False)
    multiplier: float = Field(gt=0, le=50, allow_inf_nan=False)


class FlatSettings(Section):
    """Exit of a position that went nowhere."""

    after: Duration
    max_move_pct: Pct


class SizingSettings(Section):
    """How large a position is."""

    starting_balance: float = Field(gt=0, allow_inf_nan=False)
    risk_per_trade_usd: Amount
    max_position_usd: Amount
    position_pct: float = Field(gt=0, le=100, allow_inf_nan=False)
    min_notional_usd: Amount

    @model_validator(mode="after")
    def _cap_over_minimum(self) -> SizingSettings:
        if self.max_position_usd and self.max_position_usd < self.min_notional_usd:
            raise ValueError(
                f"sizing.max_position_usd ({self.max_position_usd:g}) is under sizing.min_notional_usd "
                f"({self.min_notional_usd:g}): every entry would be refused"
            )
        return self


class GuardSettings(Section):
    """Checks before a signal may become an order."""

    cooldown_hours: float = Field(ge=0, le=24 * 365, allow_inf_nan=False)
    cooldown_from: Literal["open", "close"]
    one_position_per_symbol: bool
    max_open_positions: int = Field(ge=1, le=10_000)
    max_gap: Duration


class BanSettings(Section):
    """Bans of repeat offenders."""

    after: int = Field(ge=0, le=1000)
    window: Duration
    base_hours: float = Field(gt=0, allow_inf_nan=False)
    max_hours: float = Field(gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _base_under_max(self) -> BanSettings:
        if self.base_hours > self.max_hours:
            raise ValueError(f"ban.base_hours ({self.base_hours:g}) must not exceed ban.max_hours ({self.max_hours:g})")
        return self


class ScoreSettings(Section):
    """Weights of the ranks that order the symbols of the universe."""

    atr: Amount
    volume: Amount
    change: Amount


class UniverseSettings(Section):
    """Which symbols of the pool may be entered."""

    size: int = Field(ge=1, le=10_000)
    every: Duration
    min_quote_volume_usd: Amount
    max_quote_volume_usd: Amount
    min_atr_pct: Pct
    max_atr_pct: Pct
    min_age: Duration
    min_price: Amount
    max_price: Amount
    max_tick_pct: Pct
    max_zero_volume_pct: Pct
    score: ScoreSettings

    @model_validator(mode="after")
    def _bands_are_not_empty(self) -> UniverseSettings:
        bands = (
            ("quote_volume_usd", self.min_quote_volume_usd, self.max_quote_volume_usd),
            ("price", self.min_price, self.max_price),
        )
        for name, low, high in bands:
            if high and low > high:
                raise ValueError(f"universe.min_{name} ({low:g}) must not exceed universe.max_{name} ({high:g})")
        if self.min_atr_pct > self.max_atr_pct:
            raise ValueError(
                f"universe.min_atr_pct ({self.min_atr_pct:g}) must not exceed universe.max_atr_pct ({self.max_atr_pct:g})"
            )
        return self


class BreakerSettings(Section):
    """When the circuit breaker trips by itself; 0 = never."""

    daily_loss_pct: Pct
    max_drawdown_pct: Pct
    consecutive_losses: int = Field(ge=0, le=1000)


class CostSettings(Section):
    """Costs of one side of a trade, percent of its value."""

    fee_pct: float = Field(ge=0, le=10, allow_inf_nan=False)
    slippage_pct: float = Field(ge=0, le=10, allow_inf_nan=False)

    @property
    def rate(self) -> float:
        """Fee and slippage of one side as a fraction (0.0015 = 0.15 %)."""
        return (self.fee_pct + self.slippage_pct) / 100


class VariantSettings(Section):
    """Everything one variant is made of."""

    signal_timeframe: Timeframe
    atr_timeframe: Timeframe
    entry: EntrySettings
    hard_stop: HardStopSettings
    trail: TrailSettings
    flat: FlatSettings
    sizing: SizingSettings
    guard: GuardSettings
    ban: BanSettings
    universe: UniverseSettings
    breaker: BreakerSettings
    costs: CostSettings

    @model_validator(mode="after")
    def _timeframes_fit(self) -> VariantSettings:
        signal, atr = TIMEFRAME_MINUTES[self.signal_timeframe], TIMEFRAME_MINUTES[self.atr_timeframe]
        if atr < signal or atr % signal:
            raise ValueError(
                f"atr_timeframe ({self.atr_timeframe}) must be a multiple of signal_timeframe ({self.signal_timeframe})"
            )
        if int(self.universe.every.total_seconds()) % (signal * 60):
            raise ValueError(
                f"universe.every ({format_duration(self.universe.every)}) must be a multiple of "
                f"signal_timeframe ({self.signal_timeframe})"
            )
        return self

    @property
    def signal_minutes(self) -> int:
        """Length of a signal bar in minutes."""
        return TIMEFRAME_MINUTES[self.signal_timeframe]

    @property
    def atr_minutes(self) -> int:
        """Length of an ATR bar in minutes."""
        return TIMEFRAME_MINUTES[self.atr_timeframe]
