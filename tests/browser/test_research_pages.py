"""Pages of research in a real Chromium: nothing is wider than a phone, every figure on a field can be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from sigil_ext.research.diagnosis import Run, diagnose
from sigil_ext.research.diagnosis.page import render_page as diagnosis_page
from sigil_ext.research.grid.page import render_page as grid_page
from sigil_ext.research.grid.walk_page import render_walk
from tests.unit.research.diagnosis.conftest import BARE, DAY, MONDAY, position, today, wandering
from tests.unit.research.grid.conftest import grid
from tests.unit.research.grid.test_walk import walked_by

__all__ = ["grid", "today"]  # fixtures
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}
LEAST_CONTRAST = 4.5  # WCAG 2.1, AA
# Each number on a heatmap with its colour, and the colour of the field under it as the screen shows it.
FIELDS = """async () => {
  const found = [];
  for (const plot of document.querySelectorAll("[data-chart^=map-]")) {
    const image = new Image();
    image.src = plot.querySelector(".hm image").getAttribute("href") || plot.querySelector(".hm image").getAttribute("xlink:href");
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const paint = canvas.getContext("2d");
    paint.drawImage(image, 0, 0);
    const place = plot.querySelector(".hm image").getBoundingClientRect();
    for (const text of plot.querySelectorAll(".scatterlayer text")) {
      const box = text.getBoundingClientRect();
      const x = (box.x + box.width / 2 - place.x) / place.width, y = (box.y + box.height / 2 - place.y) / place.height;
      const [r, g, b] = paint.getImageData(Math.floor(x * canvas.width), Math.floor(y * canvas.height), 1, 1).data;
      found.push([getComputedStyle(text).fill.match(/\\d+/g).map(Number), [r, g, b]]);
    }
  }
  return found;
}"""


@pytest.fixture
def shown(browser: Browser, tmp_path: Path) -> Callable[..., Page]:
    """Show a page: shown(html, size, scheme)."""

    def show(html: str, size: dict[str, int], scheme: str = "light") -> Page:
        file = tmp_path / "page.html"
        file.write_text(html)
        page = browser.new_context(viewport=size, color_scheme=scheme).new_page()
        page.goto(file.as_uri())
        page.wait_for_selector("[data-chart] .main-svg")
        return page

    return show


def light(colour: list[int]) -> float:
    r, g, b = (c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_number_on_a_heatmap_stands_out_from_its_field(
    shown: Callable[..., Page], grid: Callable[..., dict[str, Any]], scheme: str
) -> None:
    def worth(variant: str, values: dict[str, Any]) -> list[float]:
        return [values["hard_stop.multiplier"] * values["trail.multiplier"] - 6.0 + day % 3 for day in range(20)]

    document = grid(["baseline"], ["hard_stop.multiplier=1:4:0.5", "trail.multiplier=1,2,3"], worth)
    page = shown(grid_page(document), DESKTOP, scheme)
    page.wait_for_function("document.querySelectorAll('[data-chart^=map-] .hm image').length === 6")
    fields = page.evaluate(FIELDS)
    assert len(fields) > 4 * 20
    for ink, field in fields:
        dark, bright = sorted((light(ink), light(field)))
        assert (bright + 0.05) / (dark + 0.05) >= LEAST_CONTRAST, (ink, field)


def test_a_walk_is_no_wider_than_a_phone(shown: Callable[..., Page]) -> None:
    page = shown(render_walk(walked_by([5.0, 3.0, -15.6], [1.0, 1.0, 1.0])), PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_what_a_part_is_can_be_read_on_a_phone(shown: Callable[..., Page], today: Any) -> None:
    positions = tuple(position(float(hour), exit_price=0.97) for hour in range(20, 60, 8))
    document = diagnose(
        [Run("baseline", positions, BARE, {})], {"TST-USDT": wandering(7, days=4)}, start_ms=MONDAY,
        finish_ms=MONDAY + 4 * DAY, today=today, seed=1, source="a test",
    )  # fmt: skip
    page = shown(diagnosis_page(document), PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    boxes = page.locator("table.told td.wrap").evaluate_all(
        "cells => cells.map(c => c.getBoundingClientRect().toJSON())"
    )
    assert len(boxes) >= 7
    for box in boxes:
        assert box["width"] > 300
        assert box["height"] < 120
        assert box["right"] <= PHONE["width"]


def test_a_cell_with_the_trades_of_another_says_so_in_the_table(
    shown: Callable[..., Page], grid: Callable[..., dict[str, Any]]
) -> None:
    page = shown(grid_page(grid(["baseline"], ["trail.multiplier=1,2"], lambda v, x: [1.0, -2.0, 3.0])), DESKTOP)
    marked = page.locator("#cells td", has_text="(same)")
    assert marked.count() == 1
    assert marked.get_attribute("title") == "the same trades as baseline trail.multiplier=1"
