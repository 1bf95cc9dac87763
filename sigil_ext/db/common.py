"""What both stores share, so that they cannot differ: the re-check of an entry, averages, and the words of the record."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from sigil_ext.errors import UsageError
from sigil_ext.rules.ports import BanPolicy
from sigil_ext.rules.protections import active_bar, after_hard_stop, with_cooldown
from sigil_ext.rules.types import Breaker, Entry, Exit, Protection, Refused

SYSTEM = "sigil"
EventKind = Literal["cooldown", "ban", "violation", "manual_cooldown", "manual_ban", "lift"]
ActKind = Literal["trip", "reset", "pause", "resume", "cooldown", "ban", "lift"]


def refusal(
    entry: Entry, breaker: Breaker, protection: Protection | None, *, occupied: bool, open_positions: int
) -> Refused | None:
    """Return why `entry` may not be made, by what is true inside the entry transaction; None when it may."""
    if breaker.tripped:
        return Refused(entry.symbol, entry.at, "breaker_tripped", breaker.reason or "")
    if breaker.paused:
        return Refused(entry.symbol, entry.at, "paused", breaker.pause_reason or "")
    if occupied:
        return Refused(entry.symbol, entry.at, "position_open")
    if bar := active_bar(protection, entry.at):
        assert protection is not None
        until = protection.ban_until if bar == "ban" else protection.expires_at
        return Refused(entry.symbol, entry.at, bar, f"until {until:%Y-%m-%d %H:%M} UTC")
    if open_positions >= entry.max_open_positions:
        return Refused(
            entry.symbol, entry.at, "max_open_positions", f"{open_positions} open of {entry.max_open_positions}"
        )
    return None


def averaged(qty: float, price: float, added_qty: float, added_price: float) -> tuple[float, float]:
    """Return quantity and average entry price after an increase."""
    total = qty + added_qty
    return total, (qty * price + added_qty * added_price) / total


def after_exit(
    current: Protection | None, exit: Exit, ban: BanPolicy, cooldown_until: datetime | None
) -> Sequence[tuple[EventKind, str, Protection]]:
    """Return what an exit does to its symbol's protection, step by step: kind, reason, protection afterwards."""
    steps: list[tuple[EventKind, str, Protection]] = []
    if exit.reason == "hard_stop":
        counted = after_hard_stop(current, exit.symbol, at=exit.at, ban=ban)
        banned = counted.ban_until != (current.ban_until if current else None)
        steps.append(("ban" if banned else "violation", "hard stop", counted))
        current = counted
    if cooldown_until is not None:
        steps.append(
            ("cooldown", "position closed", with_cooldown(current, exit.symbol, until=cooldown_until, at=exit.at))
        )
    return steps


def demand_reason(reason: str, act: str) -> str:
    """Return `reason` without blanks around it; a person's act has to have one."""
    if not reason.strip():
        raise UsageError(f"{act} needs a reason; it is stored with the act")
    return storable(reason)


def storable(reason: str) -> str:
    """Return `reason` without blanks around it.

    Raises:
        UsageError: it holds what is no letter of UTF-8, so no database takes it.
    """
    try:
        reason.encode()
    except UnicodeEncodeError:
        raise UsageError(f"the reason {reason!a} is not UTF-8 text; write it anew") from None
    return reason.strip()


def unknown_position(position_id: int, variant: str) -> UsageError:
    """Return the error for a position number that this variant never had."""
    return UsageError(f"variant '{variant}' has no position {position_id}")
