"""Whether a strategy keeps anything where a checkpoint does not look: in its class, in its module, in Jesse's own arrays.

Start at `OutsideState.changed`.
"""

from __future__ import annotations

import functools
import pickle
import sys
from collections.abc import Iterable, Iterator, Mapping
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np

_CODE = (
    FunctionType, BuiltinFunctionType, ModuleType, type, property, classmethod, staticmethod, functools.cached_property,
)  # fmt: skip
# Jesse's own, which it makes anew for each order.
_JESSES = frozenset({"buy", "sell", "stop_loss", "take_profit", "position", "broker", "trade"})
_MISSING = b"nothing of that name"


class OutsideState:
    """What a strategy's class, those it inherits from, and their modules held when they were loaded."""

    def __init__(self, strategy: type) -> None:
        self._places = dict(_places(strategy))
        self._before = {name: _photograph(place) for name, place in self._places.items()}

    def changed(self) -> str | None:
        """Return a sentence about what has changed there, or cannot be compared; None when nothing has."""
        for name, place in self._places.items():
            now, before = _photograph(place), self._before[name]
            for key in sorted(now.keys() | before.keys()):
                old, new = before.get(key, _MISSING), now.get(key, _MISSING)
                if old is None or new is None:
                    return f"it is not known whether it keeps anything in '{key}' of {name}"
                if old != new:
                    return f"it keeps '{key}' in {name}, which a checkpoint does not hold"
        return None

    def shares_memory(self, strategies: Iterable[Any]) -> str | None:
        """Return a sentence about an array that is a view of another one, which would be cut from it; None without."""
        for strategy in strategies:
            for name, value in vars(strategy).items():
                if not name.startswith("_") and name not in _JESSES and any(_is_view(a) for a in _arrays(value, 4)):
                    return f"it keeps a view of an array in '{name}'; keep a copy instead"
        return None


def _places(strategy: type) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for cls in strategy.__mro__:
        if cls.__module__ in ("jesse.strategies.Strategy", "abc", "builtins"):
            continue
        yield f"class {cls.__name__}", vars(cls)
        module = sys.modules.get(cls.__module__)
        if module is not None:
            yield f"module {cls.__module__}", vars(module)


def _photograph(place: Mapping[str, Any]) -> dict[str, bytes | None]:
    """Return name -> value as bytes, None for what cannot be written down; code and what Python itself keeps left out."""
    found: dict[str, bytes | None] = {}
    for name, value in list(place.items()):
        if name.startswith("__") or name == "_abc_impl" or isinstance(value, _CODE) or hasattr(value, "__wrapped__"):
            continue
        try:
            found[name] = pickle.dumps(value, protocol=5)
        except Exception:  # noqa: BLE001 (whatever an object of the user's raises; what it means is said by `changed`)
            found[name] = None
    return found


def _is_view(array: np.ndarray[Any, Any]) -> bool:
    """Return whether `array` looks into another array; one that came out of a checkpoint looks into its bytes."""
    root = array
    while isinstance(root.base, np.ndarray):
        root = root.base
    return root is not array and bool(root.flags.owndata)


def _arrays(value: Any, depth: int) -> Iterator[np.ndarray[Any, Any]]:
    if isinstance(value, np.ndarray):
        yield value
    elif depth and isinstance(value, Mapping):
        for inner in value.values():
            yield from _arrays(inner, depth - 1)
    elif depth and isinstance(value, list | tuple):
        for inner in value:
            yield from _arrays(inner, depth - 1)
