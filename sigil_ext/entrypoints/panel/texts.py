"""Texts of people and of exchanges on a page: nothing in them hides, and nothing moves what stands beside them. Pure.

Start at `harmless`.
"""

from __future__ import annotations

import unicodedata
from typing import Any

from markupsafe import Markup

TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""What turns the direction of writing around."""
_UNSEEN = TURNING | frozenset("\u200b\ufeff")
_FROM_RIGHT_TO_LEFT = ("R", "AL", "AN")


def harmless(value: Any) -> Any:
    """Return a text so that it neither hides anything nor moves what stands beside it, anything else as it is.

    Control characters and those that turn the direction of writing are shown by their code. A text with letters that are
    written from right to left is isolated, by characters, since it may stand in an attribute too.
    """
    if not isinstance(value, str) or isinstance(value, Markup) or (value.isascii() and value.isprintable()):
        return value
    shown = "".join(_code(c) if _is_unseen(c) else c for c in value)
    if any(unicodedata.bidirectional(c) in _FROM_RIGHT_TO_LEFT for c in shown):
        return f"\u2068{shown}\u2069"
    return shown


def _is_unseen(char: str) -> bool:
    return char not in "\n\t" and (unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or char in _UNSEEN)


def _code(char: str) -> str:
    return f"\\u{ord(char):04x}"
