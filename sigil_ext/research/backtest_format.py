"""How a figure is written for people, the same in the terminal and on the page. JSON keeps the unrounded figure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

NOTHING = "n/a"
MINUS = "-"


def shown(value: Any, kind: str) -> str:
    """Return `value` as text; None is n/a. `kind` is a key of `KINDS`."""
    if value is None:
        return NOTHING
    return KINDS[kind](value)


def counted(n: int, what: str) -> str:
    """Return `1 trade` or `2 trades`."""
    return f"{n:,d} {what}" + ("" if n == 1 else "s")


def duration(minutes: float) -> str:
    """Return minutes as `45m`, `8h 05m` or `3d 02h`."""
    whole = round(minutes)
    if whole < 60:
        return f"{whole}m"
    if whole < 1440:
        return f"{whole // 60}h {whole % 60:02d}m"
    return f"{whole // 1440}d {whole % 1440 // 60:02d}h"


def _signed(text: str, value: float) -> str:
    if not any(digit in text for digit in "123456789"):
        return text
    return (MINUS if value < 0 else "+") + text


KINDS: dict[str, Callable[[Any], str]] = {
    "count": lambda v: f"{v:,d}",
    "usd": lambda v: f"${v:,.2f}" if v >= 0 else f"{MINUS}${-v:,.2f}",
    "signed_usd": lambda v: _signed(f"${abs(v):,.2f}", v),
    "pct": lambda v: f"{v:.2f} %",
    "signed_pct": lambda v: _signed(f"{abs(v):.2f} %", v),
    "share": lambda v: f"{v * 100:.1f} %",
    "percent": lambda v: f"{v * 100:.0f} %",
    "signed": lambda v: _signed(f"{abs(v):.2f}", v),
    "ratio": lambda v: f"{v:.2f}",
    "signed_r": lambda v: _signed(f"{abs(v):.2f} R", v),
    "duration": duration,
}
