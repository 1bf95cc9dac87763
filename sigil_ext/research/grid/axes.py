"""Axes of a grid: `key.path=value,value` or `key.path=first:last:step`, every key of an overlay. Start at `parse_axis`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from sigil_ext.errors import SettingsError, UsageError
from sigil_ext.settings.models import format_duration, parse_duration
from sigil_ext.settings.overlays import KEY_KINDS, KEY_PATHS, key_hint
from sigil_ext.settings.plain_yaml import read_value

EXAMPLE = "--axis hard_stop.multiplier=1.0:4.0:0.25 or --axis flat.after=4h,8h"
MOST_VALUES = 10_000


@dataclass(frozen=True, slots=True)
class Axis:
    """A key path and the values it takes, in the order given, as they would stand in an overlay."""

    key: str
    values: tuple[Any, ...]

    @property
    def is_numeric(self) -> bool:
        """True where the values are numbers, so that distance between them means something."""
        return all(isinstance(v, int | float) and not isinstance(v, bool) for v in self.values)


def parse_axis(text: str) -> Axis:
    """Return the axis that `text` describes: values by commas, ranges `first:last:step` with both ends, durations too.

    Raises:
        SettingsError: the key is unknown. UsageError: no key, no value, the same value twice, a range without an end.
    """
    key, sign, given = (part.strip() for part in text.partition("="))
    if not sign or not key:
        raise UsageError(f"--axis '{text}' is not key=values; example: {EXAMPLE}")
    if key not in KEY_PATHS:
        raise SettingsError(f"unknown key '{key}' in --axis; {key_hint(key)}")
    if not given:
        raise UsageError(f"--axis {key} has no value; example: {EXAMPLE}")
    values: list[Any] = []
    for part in given.split(","):
        values.extend(_values(key, part.strip()))
    seen = set()
    for value in values:
        if identity(value) in seen:
            raise UsageError(f"--axis {key} names {value} twice")
        seen.add(identity(value))
    return Axis(key, tuple(values))


def parse_axes(texts: Iterable[str]) -> tuple[Axis, ...]:
    """Return the axes of a grid.

    Raises:
        SettingsError, UsageError: as `parse_axis`, or a key has two axes.
    """
    axes: list[Axis] = []
    for text in texts:
        axis = parse_axis(text)
        if any(axis.key == other.key for other in axes):
            raise UsageError(f"--axis {axis.key} is given twice; put all its values in one, separated by commas")
        axes.append(axis)
    return tuple(axes)


def identity(value: Any) -> tuple[bool, Any]:
    """Return what makes `value` itself: 2 and 2.0 are the same, 1 and true are not."""
    return isinstance(value, bool), value


def cell_count(variants: int, axes: Sequence[Axis]) -> int:
    """Return the number of cells of `variants` variants crossed with every axis."""
    count = variants
    for axis in axes:
        count *= len(axis.values)
    return count


def _values(key: str, part: str) -> list[Any]:
    if not part:
        raise UsageError(f"--axis {key} has an empty value; separate values by single commas, like {EXAMPLE}")
    if ":" in part:
        return _range(key, part)
    try:
        value = read_value(part)
    except SettingsError as error:
        raise UsageError(f"--axis {key}: {error}") from None
    if isinstance(value, list | dict):
        raise UsageError(f"--axis {key}: '{part}' is not a single value; separate values by commas, like {EXAMPLE}")
    return [value]


def _range(key: str, part: str) -> list[Any]:
    pieces = [piece.strip() for piece in part.split(":")]
    if len(pieces) != 3:
        raise UsageError(f"--axis {key}: '{part}' is no range; write first:last:step, like 1.0:4.0:0.25")
    timed = KEY_KINDS[key] not in (int, float)
    first, last, step = (_as_seconds(key, part, p) if timed else _as_number(key, part, p) for p in pieces)
    if step <= 0:
        raise UsageError(f"--axis {key}: the step of '{part}' must be above 0")
    if first > last:
        raise UsageError(f"--axis {key}: '{part}' is empty, {pieces[0]} is above {pieces[1]}")
    count = int((last - first) / step) + 1
    if count > MOST_VALUES:
        raise UsageError(f"--axis {key}: '{part}' has {count:,d} values; take a larger step")
    numbers = [first + step * n for n in range(count)]
    if timed:
        return [format_duration(timedelta(seconds=float(n))) for n in numbers]
    whole = KEY_KINDS[key] is int
    return [int(n) if whole and n == n.to_integral_value() else float(n) for n in numbers]


def _as_number(key: str, part: str, piece: str) -> Decimal:
    if not _is_number(piece):
        raise UsageError(f"--axis {key}: '{piece}' in '{part}' is not a number")
    return Decimal(piece)


def _as_seconds(key: str, part: str, piece: str) -> Decimal:
    try:
        return Decimal(str(parse_duration(piece).total_seconds()))
    except ValueError as error:
        raise UsageError(f"--axis {key}: '{piece}' in '{part}' {error}") from None


def _is_number(piece: str) -> bool:
    try:
        return Decimal(piece).is_finite()
    except InvalidOperation:
        return False
