"""What the compiled engine cannot run is refused before any candle is read. Start at `demand_kernel`."""

from __future__ import annotations

from collections.abc import Sequence

from sigil_ext.errors import SettingsError, UsageError
from sigil_ext.research.grid.axes import Axis
from sigil_ext.research.grid.cells import Cell, cross
from sigil_ext.research.kernel.run import demand_support
from sigil_ext.settings.overlays import Variant


def demand_kernel(variants: Sequence[Variant], axes: Sequence[Axis]) -> None:
    """Refuse a value of an axis that the compiled engine cannot run.

    Looks at every value of every axis beside the first values of the others: its limits are of single keys.

    Raises:
        UnsupportedAxis: with the key, the value and the other engine.
    """
    firsts = [Axis(axis.key, axis.values[:1]) for axis in axes]
    for place, axis in enumerate(axes):
        for cell in _cells(variants, [*firsts[:place], axis, *firsts[place + 1 :]]):
            if cell.run is not None:
                demand_support(cell.run.settings)
    if not axes:
        for variant in variants:
            demand_support(variant.settings)


def _cells(variants: Sequence[Variant], axes: Sequence[Axis]) -> list[Cell]:
    try:
        return cross(variants, axes)
    except (SettingsError, UsageError):
        return []  # what is wrong is for all the cells together to say
