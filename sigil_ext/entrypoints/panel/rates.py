"""How often each caller may ask: token buckets. Pure; time is an argument. Start at `Rate`."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Bucket:
    level: float
    at: float


@dataclass(slots=True)
class Rate:
    """Token buckets, one a caller; the callers of longest ago are forgotten first."""

    a_minute: float
    burst: float
    kept: int
    _buckets: OrderedDict[str, _Bucket] = field(default_factory=OrderedDict)

    def wait_s(self, caller: str, now: float, *, take: bool = True) -> float:
        """Return 0 if `caller` may go on, else for how many seconds not."""
        bucket = self._buckets.pop(caller, None) or _Bucket(self.burst, now)
        bucket.level = min(self.burst, bucket.level + (now - bucket.at) * self.a_minute / 60)
        bucket.at = now
        allowed = bucket.level >= 1
        if allowed and take:
            bucket.level -= 1
        self._buckets[caller] = bucket
        while len(self._buckets) > self.kept:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - bucket.level) * 60 / self.a_minute
