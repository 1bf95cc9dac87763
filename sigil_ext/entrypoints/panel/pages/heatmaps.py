"""Heatmaps of a grid's document: one figure a map, two of its dimensions a map. Start at `heatmaps`.

Dimensions beyond two are held, at the best cell's values unless the reader chooses others (`choices`); the title says which.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MOST_HEADS = 40
STRONGEST = 4
# figure -> title, how it is written, whether more is better (None: neither)
FIGURES: Mapping[str, tuple[str, str, bool | None]] = {
    "net_pnl_usd": ("P&L, USD after costs", "{:+.2f}", True),
    "hard_stop_share": ("Share of hard stops", "{:.0%}", False),
    "max_drawdown_usd": ("Drawdown, USD", "{:.2f}", False),
    "trades": ("Trades", "{:.0f}", None),
}


@dataclass(frozen=True, slots=True)
class HeatCell:
    said: str
    tone: str
    more: str


@dataclass(frozen=True, slots=True)
class Heatmap:
    """A table of cells: what goes down and what goes across, the heads of both."""

    title: str
    down: str
    across: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[HeatCell, ...]], ...]

    @property
    def has_best(self) -> bool:
        """Whether the best cell is among those shown."""
        return any(cell.said.endswith("★") for _, cells in self.rows for cell in cells)


@dataclass(frozen=True, slots=True)
class Choice:
    """A dimension that the maps do not show: its values as text, and which of them is held."""

    key: str
    values: tuple[str, ...]
    held: str


def choices(document: Mapping[str, Any], chosen: Mapping[str, str] | None = None) -> list[Choice]:
    """Return what the reader of the maps may choose; `chosen` as in `heatmaps`."""
    try:
        cells = [c for c in document["cells"] if "figures" in c]
        held = _held(document, cells, chosen or {}) if cells else {}
        return [Choice(k, tuple(map(str, v)), str(held[k])) for k, v in _dimensions(document)[2:] if k in held]
    except (KeyError, TypeError, AttributeError):
        return []


def heatmaps(document: Mapping[str, Any], chosen: Mapping[str, str] | None = None) -> list[Heatmap]:
    """Return the maps of a grid, none of another kind of document or of one that cannot be read as a grid.

    Args:
        chosen: the value, as text, to hold a dimension at; what is none of its values is as if it were not there.
    """
    try:
        dimensions = _dimensions(document)
        cells = [c for c in document["cells"] if "figures" in c]
        if not dimensions or not cells:
            return []
        (down, rows), (across, columns) = (*dimensions, ("", [None]))[:2]
        if max(len(rows), len(columns)) > MOST_HEADS:
            return []
        held = _held(document, cells, chosen or {})
        shown = {
            (_at(c, down), _at(c, across)): c for c in cells if all(_at(c, key) == value for key, value in held.items())
        }
        aside = ", ".join(f"{key} = {value}" for key, value in held.items())
        best = (document.get("best") or {}).get("index")
        return [_map(name, down, across, rows, columns, shown, aside, best) for name in FIGURES]
    except (KeyError, TypeError, AttributeError):  # a grid of another version of Sigil: its saved page still shows it
        return []


def _dimensions(document: Mapping[str, Any]) -> list[tuple[str, list[Any]]]:
    axes = [(axis["key"], list(axis["values"])) for axis in document.get("axes", ())]
    found = [*axes, ("variant", list(document.get("variants", ())))]
    return [(key, values) for key, values in found if len(values) > 1]


def _held(document: Mapping[str, Any], cells: Sequence[Mapping[str, Any]], chosen: Mapping[str, str]) -> dict[str, Any]:
    """Return at what value each dimension beyond two is held."""
    index = (document.get("best") or {}).get("index")
    best = next((c for c in cells if c["index"] == index), cells[0])
    return {
        key: next((v for v in values if str(v) == chosen.get(key)), _at(best, key))
        for key, values in _dimensions(document)[2:]
    }


def _at(cell: Mapping[str, Any], key: str) -> Any:
    return cell["variant"] if key == "variant" else cell["values"][key] if key else None


def _map(
    name: str, down: str, across: str, rows: Sequence[Any], columns: Sequence[Any],
    shown: Mapping[tuple[Any, Any], Mapping[str, Any]], aside: str, best: int | None,
) -> Heatmap:  # fmt: skip
    title, form, good = FIGURES[name]
    values = [v for c in shown.values() if isinstance(v := c["figures"].get(name), int | float)]
    most = max((abs(v) for v in values), default=0.0)
    least = min(values, default=0.0)

    def cell(row: Any, column: Any) -> HeatCell:
        found = shown.get((row, column))
        value = found["figures"].get(name) if found else None
        if found is None or not isinstance(value, int | float) or not math.isfinite(value):
            return HeatCell("–", "", "no figure")
        star = " ★" if found["index"] == best else ""
        return HeatCell(form.format(value) + star, _tone(value, least, most, good), found["label"])

    drawn = tuple((str(row), tuple(cell(row, column) for column in columns)) for row in rows)
    heads = tuple("" if column is None else str(column) for column in columns)
    return Heatmap(title + (f" ({aside})" if aside else ""), down, across or "one column", heads, drawn)


def _tone(value: float, least: float, most: float, good: bool | None) -> str:
    """Return the class of a colour: green is good, red is bad, and how much of it."""
    if good:
        step = round(value / most * STRONGEST) if most else 0
        return f"h-{step}" if step >= 0 else f"h-n{-step}"
    step = round((value - least) / (most - least) * STRONGEST) if most > least else 0
    return "h-0" if step == 0 else f"h-n{step}" if good is False else f"h-a{step}"
