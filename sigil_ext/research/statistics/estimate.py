"""`Estimate`: a figure, how sure it is, and why it is unknown where it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

NAN = math.nan


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval [low, high]; NaN wherever something is unknown, and then `reason` says why.

    `n` counts what it was computed from (days, trades, ...); `block_days` is the mean block of a bootstrap.
    """

    value: float
    low: float = NAN
    high: float = NAN
    confidence: float | None = None
    n: int = 0
    block_days: float | None = None
    reason: str | None = None

    @property
    def known(self) -> bool:
        """Return whether the value is a number."""
        return math.isfinite(self.value)

    def document(self) -> dict[str, Any]:
        """Return plain values for JSON: what is not finite is None."""
        return {
            "value": plain(self.value), "low": plain(self.low), "high": plain(self.high),
            "confidence": self.confidence, "n": self.n, "block_days": self.block_days, "reason": self.reason,
        }  # fmt: skip


def too_few(days: int, needed: int, *, which: str = "", what: str = "") -> str:
    """Return the reason why something is not known from so few days: `7 days are too few for an interval; it needs 8`."""
    return f"{days} {'day' if days == 1 else 'days'}{which} {'is' if days == 1 else 'are'} too few{what}; it needs {needed}"


def unknown(reason: str, n: int = 0) -> Estimate:
    """Return an estimate that knows nothing and says why."""
    return Estimate(NAN, n=n, reason=reason)


def plain(value: float) -> float | None:
    """Return `value`, None where it is no finite number: JSON knows no NaN."""
    return float(value) if math.isfinite(value) else None


def series(values: NDArray[np.float64], what: str = "daily P&L") -> NDArray[np.float64]:
    """Return `values` as a flat array of floats.

    Raises:
        ValueError: not one dimension, or a value that is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{what} must have one dimension, has {array.ndim}")
    if not np.isfinite(array).all():
        raise ValueError(f"{what} must hold finite numbers only")
    return array


def matrix(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return daily P&L of several cells as an array of shape (days, cells).

    Raises:
        ValueError: not two dimensions, or a value that is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2:
        raise ValueError(f"daily P&L of cells must have the shape (days, cells), has {array.ndim} dimension(s)")
    if not np.isfinite(array).all():
        raise ValueError("daily P&L of cells must hold finite numbers only")
    return array


def demand_share(value: float, name: str) -> None:
    """Refuse a share (confidence, alpha, power) that does not lie between 0 and 1.

    Raises:
        ValueError: it does not.
    """
    if not 0.0 < value < 1.0:
        raise ValueError(f"{name} must lie between 0 and 1, was {value}")


def is_constant(values: NDArray[np.float64]) -> bool:
    """Return whether all values are the same up to rounding."""
    return bool(np.ptp(values) <= 1e-12 * np.abs(values).max(initial=0.0))
