"""How long to wait after a failure. Pure: chance is an argument. Start at `Backoff.delay`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Backoff:
    """Doubling from `base_s` up to `cap_s` seconds; `jitter` is the share of it that chance may take away, 0..1.

    Jitter only shortens, so that the cap is a promise: a channel that is back is found within `cap_s`.
    """

    base_s: float = 10.0
    factor: float = 2.0
    cap_s: float = 300.0
    jitter: float = 0.25

    def delay(self, failures: int, draw: float) -> timedelta:
        """Return the wait after `failures` (>= 1) failures in a row.

        Args:
            draw: a random number, 0 <= draw < 1.
        Raises:
            ValueError: failures under 1, or a draw outside its range.
        """
        if failures < 1:
            raise ValueError(f"failures must be 1 or more, was {failures}")
        if not 0 <= draw < 1:
            raise ValueError(f"draw must be at least 0 and under 1, was {draw}")
        # The exponent is bounded before the power is taken: a month of failures must not overflow.
        whole = min(self.cap_s, self.base_s * self.factor ** min(failures - 1, 64))
        return timedelta(seconds=whole * (1 - self.jitter * draw))
