"""`kernel`: compiles a function of this folder, without the interpreter's lock, and keeps the machine code on disk.

A kernel function contains the rules that it calls, and numba's cache looks at the caller's file only; here what is kept
on disk is bound to the text of every rule and every kernel file, so a changed rule is never answered by old machine code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from sigil_ext.rules import compiled as rules_compiled

P = ParamSpec("P")
R = TypeVar("R")

FOLDERS = (Path(__file__).parent, Path(rules_compiled.__file__).parent)


@cache
def fingerprint() -> str:
    """Return the SHA-256 of every file of the kernel and of the rules that holds something compiled, or its shapes."""
    digest = hashlib.sha256()
    for folder in FOLDERS:
        for path in sorted(folder.glob("*.py")):
            text = path.read_bytes()
            if (
                b"\n@kernel\n" in text
                or b"\n@inlined\n" in text
                or b"\n@compiled\n" in text
                or path.name in ("shapes.py", "trades.py")
            ):
                digest.update(path.name.encode() + b"\0" + text)
    return digest.hexdigest()


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` compiled on first call, the machine code kept on disk for the next process."""
    rules_compiled.prepare_cache()
    from numba import njit

    dispatcher: Any = njit(cache=True, nogil=True, error_model="numpy")(function)
    dispatcher._cache._cache_file._source_stamp = fingerprint()
    return dispatcher  # type: ignore[no-any-return]


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` compiled into whoever calls it, for what is too short to be worth a call."""
    from numba import njit

    return njit(nogil=True, error_model="numpy", forceinline=True)(function)  # type: ignore[no-any-return]


def is_compiled(*functions: Any) -> bool:
    """Return whether each of `functions` has machine code already, in this process or on disk."""
    return all(f.signatures or f._cache._cache_file._load_index() for f in functions)
