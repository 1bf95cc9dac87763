"""`sigil grid` as its user meets it: on real candles, with Jesse's engine, and in every wrong use."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from sigil_ext.services import shelf
from sigil_ext.settings.project import Project
from tests.conftest import ROOT, Ran

Sigil = Callable[..., Ran]
SMALL = (
    "--candles", "sample", "--symbols", "TST-USDT,DOGS-USDT", "--start", "2025-06-18", "--finish", "2025-06-20",
)  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that the tests of this file share, so that cells run once are kept for the next test."""
    root = tmp_path_factory.mktemp("grid")
    for name in ("overlays", "migrations", "strategies", "sample"):
        (root / name).symlink_to(ROOT / name)
    return Project(root, root / "storage")


GRID = ("grid", "--variant", "baseline", "--variant", "unhinged", "--axis", "hard_stop.multiplier=1.5,2.5", *SMALL,
        "--engine", "jesse", "--folds", "2")  # fmt: skip


@pytest.fixture(scope="module")
def document(project: Project) -> dict:
    """The JSON of a grid of four cells."""
    done = subprocess.run(
        [sys.executable, "-m", "sigil_ext", *GRID, "--json", "-"], cwd=project.root, capture_output=True, text=True, timeout=500
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_cell_is_there_with_its_figures(document: dict) -> None:
    assert [cell["label"] for cell in document["cells"]] == [
        "baseline hard_stop.multiplier=1.5",
        "baseline hard_stop.multiplier=2.5",
        "unhinged hard_stop.multiplier=1.5",
        "unhinged hard_stop.multiplier=2.5",
    ]
    assert (document["cells_tried"], document["cells_failed"]) == (4, 0)
    for cell in document["cells"]:
        figures = cell["figures"]
        assert sum(e["count"] for e in figures["exits"].values()) == figures["trades"]
        assert sum(e["pnl_usd"] for e in figures["exits"].values()) == pytest.approx(figures["net_pnl_usd"])
        assert sum(fold["out"]["trades"] for fold in cell["folds"]) == figures["trades"]
    assert sum(cell["figures"]["trades"] for cell in document["cells"]) > 4


def test_a_cell_is_the_backtest_of_its_settings(document: dict, project: Project, sigil: Sigil) -> None:
    ran = sigil("backtest", "--variant", "unhinged", *SMALL, "--json", project=project)
    totals = json.loads(ran.out)["totals"]
    cell = document["cells"][3]
    assert cell["index"] in document["own"]  # 2.5 is unhinged's own multiplier
    assert cell["final_equity"] == totals["final_cash"]
    for ours, theirs in (("trades", "count"), ("net_pnl_usd", "pnl_usd"), ("win_rate", "win_rate")):
        assert cell["figures"][ours] == totals[theirs]
    assert cell["figures"]["win_rate_needed"] == totals["win_rate_needed"]
    assert cell["figures"]["payoff_ratio"] == totals["payoff_ratio"]


def test_the_best_cell_never_comes_without_its_evidence(document: dict) -> None:
    best = document["best"]
    traded = [cell for cell in document["cells"] if cell["figures"]["trades"]]  # not trading is no candidate
    assert best["index"] == max(traded, key=lambda c: c["figures"]["net_pnl_usd"])["index"]
    assert best["statistics"]["cells_tried"] == 4
    assert best["neighbourhood"]["cells"] == 1
    assert len(best["statistics"]["sentences"]) >= 4


def test_posture_and_multiplier_are_told_apart(document: dict) -> None:
    rows = {(r["variant"], r["multiplier"]): r["net_pnl_usd"] for r in document["posture"]["rows"]}
    assert rows[("unhinged", 2.5)] == document["cells"][3]["figures"]["net_pnl_usd"]
    assert sum(document["posture"]["shares"].values()) == pytest.approx(1)


def test_a_second_call_goes_on_with_what_is_kept_and_prints_tables(
    document: dict, project: Project, sigil: Sigil
) -> None:
    ran = sigil(*GRID, project=project)
    assert ran.status == 0
    assert "4 of 4 cells are kept from before" in ran.err
    best, worth = (
        ran.out.index(f"Best by net P&L in USD: {document['best']['label']}"),
        ran.out.index("What that is worth:"),
    )
    assert best < worth < ran.out.index("Cells by net P&L")
    assert "Folds: the best cell of all others" in ran.out
    assert "Posture against multiplier" in ran.out


def test_a_grid_is_on_the_shelf(document: dict, project: Project) -> None:
    kept = shelf.listing(project, "grid")
    assert kept
    assert shelf.load(project, kept[-1].id)["cells"] == document["cells"]


def test_a_combination_that_cannot_be_is_reported_and_the_others_run(project: Project, sigil: Sigil) -> None:
    ran = sigil(
        "grid", "--variant", "baseline", "--axis", "hard_stop.floor_pct=3,5", "--axis", "hard_stop.cap_pct=4,6", *SMALL,
        "--engine", "jesse", "--json", "-", project=project,
    )  # fmt: skip
    assert ran.status == 1
    found = json.loads(ran.out)
    assert found["cells_failed"] == 1
    assert "hard_stop.floor_pct (5) must not exceed hard_stop.cap_pct (4)" in found["cells"][2]["problem"]
    assert "figures" not in found["cells"][2]


KERNEL = tuple("kernel" if word == "jesse" else word for word in GRID)


def test_the_kernel_gives_the_cells_of_jesse_and_says_that_it_was_checked(
    document: dict, project: Project, sigil: Sigil
) -> None:
    ran = sigil(*KERNEL, "--verify", "1", "--json", "-", project=project)
    assert ran.status == 0, ran.err
    found = json.loads(ran.out)
    assert found["cells"] == document["cells"]
    assert found["verification"]["cells"] == 1
    assert any(note.startswith("Checked against Jesse: 1 cell drawn at random") for note in found["notes"])


def test_an_unchecked_kernel_says_so(project: Project, sigil: Sigil) -> None:
    ran = sigil(*KERNEL, "--no-verify", project=project)
    assert ran.status == 0, ran.err
    assert "Not checked against Jesse (--no-verify)" in ran.out


def test_a_small_grid_knows_what_the_other_engine_tried_before(document: dict, project: Project, sigil: Sigil) -> None:
    one = ("grid", "--variant", "baseline", "--axis", "hard_stop.multiplier=1.5", *SMALL)
    ran = sigil(*one, "--engine", "kernel", "--no-verify", "--json", "-", project=project)
    assert ran.status == 0, ran.err
    found = json.loads(ran.out)
    assert found["cells_tried"] == 1
    assert found["cells_tried_before"] >= 3  # the rest of the grid of `document`; other tests may have tried more
    assert found["cells_tried_before_unknown"] == 0
    assert any("by whichever engine and version; they count as tried" in note for note in found["notes"])


def test_a_kernel_that_is_not_jesse_is_not_shown_and_what_it_made_is_dropped(project: Project, sigil: Sigil) -> None:
    sigil(*KERNEL, "--no-verify", project=project)
    (kept,) = (project.storage / "research" / "cells").glob("kernel-*.sqlite")
    with closing(sqlite3.connect(kept)) as link, link:
        link.execute("UPDATE cells SET final_equity = final_equity + 0.01")
    part = ("grid", "--variant", "baseline", "--axis", "hard_stop.multiplier=1.5", *SMALL, "--engine", "kernel")
    ran = sigil(*part, "--verify", "1", project=project)  # one of the cells; the code that made the others is the same
    assert ran.status == 1
    assert "error: the kernel is not Jesse on " in ran.err
    assert "its final equity is" in ran.err
    assert "--engine jesse" in ran.err
    assert ran.out == ""
    assert "kept from before" not in sigil(*KERNEL, "--no-verify", project=project).err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "--variant is missing"),
        (("--variant", "basline"), "unknown variant 'basline'; did you mean 'baseline'?"),
        (("--variant", "baseline", "--axis", "stop=1"), "unknown key 'stop' in --axis"),
        (("--variant", "baseline", "--axis", "trail.multiplier="), "--axis trail.multiplier has no value"),
        (("--variant", "baseline", "--axis", "trail.multiplier=-1"), "trail.multiplier = -1 (--axis): input should be"),
        (("--variant", "baseline", "--axis", "trail.multiplier=0.001:10:0.001", "--axis", "flat.max_move_pct=0:9.9:0.1"),
         "1,000,000 cells (1 x 10000 x 100) are more than --engine"),
        (("--variant", "baseline", "--candles", "/nowhere"), "no folder /nowhere"),
        (("--variant", "baseline", "--start", "2035-01-01"), "holds no candle in the period asked for"),
        (("--variant", "baseline", "--start", "2025-06-20", "--finish", "2025-06-19"), "is not before --finish"),
        (("--variant", "baseline", "--symbols", "NONE-USDT"), "unknown symbol"),
        (("--variant", "baseline", "--symbols", ","), "--symbols names no symbol"),
        (("--variant", "baseline", "--folds", "40"), "--folds 40 is more than the 7 days"),
        (("--variant", "baseline", "--folds", "3", "--start", "2025-06-18", "--finish", "2025-06-20", "--candles", "/nowhere"),
         "--folds 3 is more than the 2 days from 2025-06-18 00:00 to 2025-06-20 00:00; take fewer"),
        (("--variant", "baseline", "--objective", "luck"), "no objective 'luck'; known: net_pnl"),
        (("--variant", "baseline", "--engine", "gpu"), "'gpu' is not one of"),
        (("--variant", "baseline", "--ray", "cluster"), "--ray 'cluster' is not HOST:PORT"),
        (("--variant", "baseline", "--ray", "local", "--engine", "kernel"), "--ray is for --engine jesse"),
        # No candle is read for what the kernel cannot run.
        (("--variant", "baseline", "--axis", "sizing.min_notional_usd=5,0", "--axis", "trail.multiplier=1,2", "--engine",
          "kernel", "--candles", "/nowhere"), "the kernel cannot run sizing.min_notional_usd=0"),
        (("--variant", "baseline", "--json", "/dev/null/x.json"), "cannot write the result to /dev/null/x.json"),
    ],
)  # fmt: skip
def test_wrong_use_gets_one_sentence(arguments: tuple[str, ...], sentence: str, project: Project, sigil: Sigil) -> None:
    candles = () if "--candles" in arguments else ("--candles", "sample")
    ran = sigil(
        "grid", *arguments, *candles, *(() if "--engine" in arguments else ("--engine", "jesse")), project=project
    )
    assert ran.status == 2, ran.err
    assert sentence in ran.err
    assert ran.err.count("\n") == 1
    assert ran.out == ""


def test_a_file_where_cells_should_be_kept_is_named(tmp_path: Path, sigil: Sigil) -> None:
    root = tmp_path / "p"
    root.mkdir()
    for name in ("overlays", "migrations", "strategies", "sample"):
        (root / name).symlink_to(ROOT / name)
    (root / "storage").mkdir()
    (root / "storage" / "research").write_text("a file where the folder should be")
    ran = sigil("grid", "--variant", "baseline", *SMALL, "--engine", "jesse", project=Project(root, root / "storage"))
    assert ran.status == 1
    assert ran.err.splitlines()[-1] == (
        f"error: cells cannot be kept in {root / 'storage' / 'research' / 'cells'} (Not a directory); "
        "it must be a folder that can be written"
    )
