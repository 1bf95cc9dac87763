"""The page on alerts names every event, and says what to do about it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sigil_ext.db.outbox import EVENTS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "alerts.md").read_text(encoding="utf-8")
ROWS = {
    row[0].strip("` "): [cell.strip() for cell in row[1:]]
    for line in PAGE.splitlines()
    if (row := re.split(r"(?<!\\)\|", line.strip("|"))) and line.startswith("| `")
}


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_is_explained_with_what_to_do(event):
    means, what_to_do = ROWS[event]
    assert len(means) > 10
    assert what_to_do


def test_no_event_is_explained_that_does_not_exist():
    assert set(ROWS) == set(EVENTS)
