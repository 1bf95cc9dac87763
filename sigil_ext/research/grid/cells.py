"""Cells: every variant with every combination of the axes' values, or the reason why one cannot be. Start at `cross`."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sigil_ext.errors import SettingsError, UsageError
from sigil_ext.research.grid.axes import Axis, identity
from sigil_ext.settings.overlays import Variant, flatten, merge

ORIGIN = "--axis"


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination. `run` is None where the settings refuse it; `problem` then says why."""

    index: int
    variant: str
    values: Mapping[str, Any]
    run: Variant | None
    problem: str | None = None

    @property
    def label(self) -> str:
        """What a table or message calls it: `baseline hard_stop.multiplier=2.5`."""
        return " ".join([self.variant, *(f"{key}={shown_value(value)}" for key, value in self.values.items())])


def shown_value(value: Any) -> str:
    """Return an axis value as it is written in an overlay."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def short_label(cell: Mapping[str, Any]) -> str:
    """Return what a table calls a cell of a document whose head names the axes: `baseline 2.5 / 8h`."""
    return f"{cell['variant']} {' / '.join(shown_value(v) for v in cell['values'].values())}".strip()


def cross(variants: Sequence[Variant], axes: Sequence[Axis]) -> list[Cell]:
    """Return every cell: the first variant first, the last axis fastest.

    A combination that the settings refuse is a cell with a `problem`. A value that no cell at all can use is a mistake.

    Raises:
        SettingsError: such a value, with the settings' own sentence. UsageError: two values of an axis mean the same.
    """
    cells: list[Cell] = []
    for variant in variants:
        layers = _layers(variant)
        for values in itertools.product(*(axis.values for axis in axes)):
            chosen = {axis.key: value for axis, value in zip(axes, values, strict=True)}
            try:
                run = merge(variant.name, [*layers, (ORIGIN, chosen)])
                cells.append(Cell(len(cells), variant.name, chosen, run))
            except SettingsError as error:
                cells.append(Cell(len(cells), variant.name, chosen, None, str(error)))
    for axis in axes:
        _demand_use(axis, cells)
        _demand_distinct(axis, cells)
    return cells


def _layers(variant: Variant) -> list[tuple[str, dict[str, Any]]]:
    """Return the values of `variant` by origin, so that a refusal still names the file a value came from."""
    by_origin: dict[str, dict[str, Any]] = {}
    for key, value in flatten(variant.settings).items():
        by_origin.setdefault(variant.origins[key], {})[key] = value
    return list(by_origin.items())


def _demand_use(axis: Axis, cells: Sequence[Cell]) -> None:
    used = {identity(cell.values[axis.key]) for cell in cells if cell.run is not None}
    for cell in cells:
        if identity(cell.values[axis.key]) not in used:
            raise SettingsError(str(cell.problem))


def _demand_distinct(axis: Axis, cells: Sequence[Cell]) -> None:
    """Refuse `8h` beside `480m`: two cells of one meaning would count as two tries."""
    meanings: dict[Any, Any] = {}
    for cell in cells:
        if cell.run is not None:
            value = cell.values[axis.key]
            first = meanings.setdefault(identity(_setting(cell.run, axis.key)), value)
            if first != value:
                raise UsageError(f"--axis {axis.key} names {first} twice, once as {value}")


def _setting(run: Variant, key: str) -> Any:
    found: Any = run.settings
    for part in key.split("."):
        found = getattr(found, part)
    return found
