"""`lent`: the same array without its count of references.

Compiled code counts a reference whenever it takes an array out of a tuple; with several threads on one market that is most
of its time. Whoever lends keeps the array alive for as long as it is used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic

from sigil_ext.research.kernel.compiling import kernel


@intrinsic  # type: ignore[untyped-decorator]
def _pointer(typing_context: Any, address: Any) -> Any:
    """Return an address as a pointer to nothing in particular."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), build


@kernel
def lent(array: Any) -> Any:
    """Return `array`, which must be contiguous and outlive what is returned, without its count of references."""
    return carray(_pointer(array.ctypes.data), array.shape, array.dtype)


@kernel
def rows_at(address: int, count: int) -> Any:
    """Return the candles that lie at `address`, shape (count, 6), without a count of references."""
    return carray(_pointer(address), (count, 6), np.float64)
