"""`compiled`: marks a rule over bare numbers and arrays as compiled by numba.

The strategies call such a rule once a bar and a grid kernel calls the same object inside its own compiled loop, so a rule
is written once. No fastmath: compiled and interpreted code must give the same float. Rules that call each other stand in
one file, because numba's cache looks at the file of the caller only.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def compiled(rule: Callable[P, R]) -> Callable[P, R]:
    """Return `rule` compiled on first call, the machine code kept on disk for the next process."""
    prepare_cache()
    from numba import njit  # imported late: it costs a second, and a reader of types does not need it

    return njit(cache=True, error_model="numpy")(rule)  # type: ignore[no-any-return]


def prepare_cache() -> None:
    """Choose a folder for machine code where the package itself may not be written to."""
    if "NUMBA_CACHE_DIR" not in os.environ and not os.access(os.path.dirname(__file__), os.W_OK):
        # A package that its user may not write to (installed by root): numba would refuse to cache and raise.
        os.environ["NUMBA_CACHE_DIR"] = os.path.join(tempfile.gettempdir(), f"sigil-numba-{os.getuid()}")
