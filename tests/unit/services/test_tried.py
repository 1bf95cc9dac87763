"""The ledger of tries: it knows what either engine and any code tried on the same candles and period, and only that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sigil_ext.errors import SigilError
from sigil_ext.services.market import Market
from sigil_ext.services.tried import Tried, disown, ledger_of
from sigil_ext.settings.project import Project

DAY = 86_400_000
MINUTE = 60_000


def market(first_close: float = 1.0, finish_ms: int = 3 * DAY, warm_up: int = 2) -> Market:
    rows = np.ones((10 + warm_up, 6))
    rows[:, 0] = np.arange(-warm_up, 10) * MINUTE
    rows[warm_up, 2] = first_close
    return Market({"TST-USDT": rows}, 0, finish_ms, {"TST-USDT": 1})


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, tmp_path / "storage")


def test_tries_of_either_engine_and_any_code_are_known_by_their_days(project: Project) -> None:
    with Tried(project, market()) as tried:
        tried.note("a", "kernel-1", np.array([1.0, -2.0, 0.0]))
        tried.note("b", "jesse-1", np.array([0.5, 0.0, 0.1]))
    with Tried(project, market(warm_up=7)) as tried:
        tried.note("c", "kernel-2", np.zeros(3))
        earlier = tried.others({"c"})
    assert earlier.count == 2
    assert earlier.daily.T.tolist() == [[1.0, -2.0, 0.0], [0.5, 0.0, 0.1]]


def test_a_cell_run_again_is_no_further_try(project: Project) -> None:
    with Tried(project, market()) as tried:
        tried.note("a", "kernel-1", np.ones(3))
        tried.note("a", "jesse-1", np.zeros(3))
        assert tried.others(set()).daily.T.tolist() == [[0.0, 0.0, 0.0]]
        assert tried.others({"a"}).count == 0


def test_other_candles_and_periods_are_other_tries(project: Project) -> None:
    with Tried(project, market()) as tried:
        tried.note("a", "kernel-1", np.ones(3))
    for other in (market(first_close=1.1), market(finish_ms=2 * DAY)):
        with Tried(project, other) as tried:
            earlier = tried.others(set())
            assert (earlier.count, earlier.daily.shape[1]) == (0, 0)


def test_what_disproved_code_made_was_tried_but_its_days_are_not_believed(project: Project) -> None:
    with Tried(project, market()) as tried:
        tried.note("a", "kernel-1", np.ones(3))
        tried.note("b", "kernel-2", np.ones(3))
        disown(project, "kernel-1")
        earlier = tried.others(set())
    assert (earlier.count, earlier.daily.shape) == (2, (3, 1))


def test_a_broken_ledger_is_named_with_the_way_out(project: Project) -> None:
    with Tried(project, market()) as tried:
        tried.note("a", "kernel-1", np.ones(3))
    ledger_of(project).write_bytes(b"this is no database" * 300)
    with (
        pytest.raises(SigilError, match=r"tried\.sqlite, cannot be used .*; move it away"),
        Tried(project, market()) as tried,
    ):
        tried.others(set())
