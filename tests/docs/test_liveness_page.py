"""The page on liveness names every finding, every exit status and every unit."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from sigil_ext.rules.liveness import FindingKind
from sigil_ext.services import probe

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "liveness.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", get_args(FindingKind))
def test_every_finding_has_a_row(kind: str) -> None:
    assert f"\n| `{kind}` |" in PAGE


@pytest.mark.parametrize("status", [probe.FINE, probe.STALE, 2, probe.UNREACHABLE, probe.WAS_ASLEEP, probe.UNABLE])
def test_every_exit_status_has_a_row(status: int) -> None:
    assert f"\n| {status} |" in PAGE


@pytest.mark.parametrize("unit", sorted(p.name for p in (ROOT / "scripts" / "systemd").iterdir()))
def test_every_unit_is_named(unit: str) -> None:
    assert f"`{unit}`" in PAGE
