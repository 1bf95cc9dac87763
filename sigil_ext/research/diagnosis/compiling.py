"""`compiled_with_rules`: a compiled function of this folder that calls rules.

Machine code on disk holds the rules that were compiled into it, and numba's cache looks at the caller's file only; here it is
bound to the text of the rules too, so a changed rule is never answered by what is left of the old one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from sigil_ext.research.kernel.compiling import fingerprint
from sigil_ext.rules.compiled import compiled

P = ParamSpec("P")
R = TypeVar("R")


def compiled_with_rules(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` compiled on first call, the machine code kept for the next process while no rule changes."""
    dispatcher: Any = compiled(function)
    kept = dispatcher._cache._cache_file
    kept._source_stamp = (kept._source_stamp, fingerprint())
    return cast("Callable[P, R]", dispatcher)
