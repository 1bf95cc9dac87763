"""Protections: how long a symbol is barred, after an entry, a hard stop, or a person's act.

Pure: a protection and an instant in, a protection out. No write here ever shortens a bar or lowers a count; only `lift`,
a person's act, does the first. Start at `active_bar`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

from sigil_ext.rules.compiled import compiled
from sigil_ext.rules.ports import BanPolicy
from sigil_ext.rules.types import Protection


def active_bar(protection: Protection | None, now: datetime) -> Literal["ban", "cooldown"] | None:
    """Return what bars the symbol at `now`, a ban before a cooldown. A lock that ends at T is free at T."""
    if protection is None:
        return None
    if protection.ban_until is not None and now < protection.ban_until:
        return "ban"
    if protection.expires_at is not None and now < protection.expires_at:
        return "cooldown"
    return None


def decayed_count(protection: Protection | None, now: datetime, window: timedelta) -> int:
    """Return the violations that still count at `now`: one less for each whole `window` without a hard stop.

    Rows of the earlier bot have no time of the last violation; their `created_at` stands in for it.
    """
    if protection is None or protection.violation_count <= 0:
        return 0
    since = protection.last_violation_at or protection.created_at
    if since is None or now <= since:
        return protection.violation_count
    passed = (now - since) // timedelta(microseconds=1)
    return violations_left(protection.violation_count, passed, window // timedelta(microseconds=1))


@compiled
def violations_left(count: int, passed_us: int, window_us: int) -> int:
    """Return how many of `count` >= 0 violations still count `passed_us` > 0 microseconds after the last one."""
    return max(0, count - passed_us // window_us)


def with_cooldown(protection: Protection | None, symbol: str, *, until: datetime, at: datetime) -> Protection:
    """Return the protection with a cooldown to at least `until`; a later end that stands already is kept."""
    current = protection or Protection(symbol, created_at=at)
    return replace(current, expires_at=_later(current.expires_at, until))


def with_ban(protection: Protection | None, symbol: str, *, until: datetime, at: datetime) -> Protection:
    """Return the protection with a ban to at least `until`; a later end that stands already is kept."""
    current = protection or Protection(symbol, created_at=at)
    return replace(current, ban_until=_later(current.ban_until, until))


def after_hard_stop(protection: Protection | None, symbol: str, *, at: datetime, ban: BanPolicy) -> Protection:
    """Return the protection after one more hard stop at `at`.

    The count is what is left of the old one, plus one. From `ban.after` on the symbol is banned for `ban.base_hours`,
    doubled for each further violation, at most `ban.max_hours`. `ban.after` 0 counts and never bans.
    """
    current = protection or Protection(symbol, created_at=at)
    count = decayed_count(current, at, ban.window) + 1
    counted = replace(current, violation_count=count, last_violation_at=at)
    if hours := ban_hours(count, ban):
        return replace(counted, ban_until=_later(counted.ban_until, at + timedelta(hours=hours)))
    return counted


def ban_hours(count: int, ban: BanPolicy) -> float:
    """Return the length in hours of the ban that violation number `count` brings, 0 for none."""
    if ban.after <= 0 or count < ban.after:
        return 0.0
    doublings = min(count - ban.after, 64)  # 2**64 hours is past any max_hours; keeps the float finite
    return min(ban.base_hours * 2.0**doublings, ban.max_hours)


def lifted(protection: Protection | None, symbol: str, *, at: datetime) -> Protection:
    """Return the protection with cooldown and ban ended at `at`; ends already past and the count stay as they are."""
    current = protection or Protection(symbol, created_at=at)
    return replace(current, expires_at=_earlier(current.expires_at, at), ban_until=_earlier(current.ban_until, at))


def _later(a: datetime | None, b: datetime) -> datetime:
    return b if a is None or b > a else a


def _earlier(a: datetime | None, b: datetime) -> datetime | None:
    return a if a is None or a < b else b
