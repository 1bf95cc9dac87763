"""`sigil walkforward`: the choice is that of a grid over the window, what is traded the backtest of the next one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from sigil_ext.services import shelf
from sigil_ext.settings.project import Project
from tests.conftest import ROOT, Ran

Sigil = Callable[..., Ran]
CANDLES = ("--candles", "sample", "--symbols", "TST-USDT,DOGS-USDT,HMSTR-USDT", "--start", "2025-06-17", "--finish", "2025-06-22")  # fmt: skip
CELLS = ("--variant", "unhinged", "--axis", "hard_stop.multiplier=1.5,3", "--engine", "jesse")
WALK = ("walkforward", *CELLS, *CANDLES, "--train", "2d", "--trade", "36h")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("walk")
    for name in ("overlays", "migrations", "strategies", "sample"):
        (root / name).symlink_to(ROOT / name)
    return Project(root, root / "storage")


@pytest.fixture(scope="module")
def document(project: Project) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "sigil_ext", *WALK, "--json", "-"], cwd=project.root, capture_output=True, text=True,
        timeout=550, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_windows_cover_the_period(document: dict) -> None:
    assert [(w["train"][5:13], w["trade"][5:13], w["finish"][5:13]) for w in document["windows"]] == [
        ("06-17T00", "06-19T00", "06-20T12"),
        ("06-18T12", "06-20T12", "06-22T00"),
    ]


def test_the_choice_is_the_best_cell_of_a_grid_over_the_window(document: dict, project: Project, sigil: Sigil) -> None:
    window = document["windows"][1]
    period = ("--start", "2025-06-18T12:00", "--finish", "2025-06-20T12:00")
    ran = sigil("grid", *CELLS, *CANDLES[:4], *period, "--json", "-", project=project)
    grid = json.loads(ran.out)
    assert grid["best"]["label"] == window["label"]
    assert grid["cells"][grid["best"]["index"]]["figures"]["net_pnl_usd"] == window["in"]["net_pnl_usd"]


def test_what_is_traded_is_a_backtest_of_the_next_window_on_the_account_so_far(
    document: dict, project: Project, sigil: Sigil
) -> None:
    first, second = document["windows"]
    balance = 1000.0 + first["out"]["net_pnl_usd"]
    ran = sigil(
        "backtest", "--variant", "unhinged", "--set", f"hard_stop.multiplier={second['values']['hard_stop.multiplier']}",
        "--set", f"sizing.starting_balance={balance}", *CANDLES[:4], "--start", "2025-06-20T12:00", "--finish", "2025-06-22",
        "--json", project=project,
    )  # fmt: skip
    totals = json.loads(ran.out)["totals"]
    assert totals["count"] == second["out"]["trades"]
    assert totals["pnl_usd"] == pytest.approx(second["out"]["net_pnl_usd"], abs=1e-9)


def test_the_whole_is_the_sum_of_its_windows(document: dict) -> None:
    out = document["out"]
    assert out["figures"]["trades"] == sum(w["out"]["trades"] for w in document["windows"]) > 0
    assert sum(out["daily_pnl_usd"]) == pytest.approx(sum(w["out"]["net_pnl_usd"] for w in document["windows"]))
    assert len(out["days"]) == len(out["daily_pnl_usd"])
    assert [own["variant"] for own in document["own"]] == ["unhinged"]


def test_a_second_walk_takes_what_is_kept_and_shows_it(document: dict, project: Project, sigil: Sigil) -> None:
    page = project.root / "walk.html"
    ran = sigil(*WALK, "--html", str(page), project=project)
    assert ran.status == 0
    assert "Out of sample:" in ran.out
    assert "06-20 12:00" in ran.out
    assert page.read_text().endswith("</body></html>")
    kept = shelf.listing(project, "walkforward")
    assert len(kept) == 2
    assert shelf.load(project, kept[0].id)["out"] == document["out"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--train", "soon"), "--train 'soon' must be a duration"),
        (("--train", "90m"), "must be whole hours or days"),
        (("--trade", "10s"), "--trade '10s' must be whole hours or days"),
        (("--train", "30d"), "there is no time left to trade"),
        (("--train", "30d", "--candles", "/nowhere"), "there is no time left to trade: the period is"),
        (
            ("--axis", "sizing.starting_balance=100,200", "--candles", "/nowhere"),
            "one account walks, give it one balance",
        ),
    ],
)
def test_wrong_use_gets_one_sentence(arguments: tuple[str, ...], sentence: str, project: Project, sigil: Sigil) -> None:
    ran = sigil(*WALK, *arguments, project=project)
    assert ran.status == 2, ran.err
    assert sentence in ran.err
