"""What `sigil backtest` leaves on the shelf: the panel shows it and `sigil compare` takes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from sigil_ext.entrypoints.panel.pages.shelf_reports import report
from sigil_ext.services import shelf
from sigil_ext.settings.project import Project
from tests.conftest import Ran

Sigil = Callable[..., Ran]
PERIOD = ("--candles", "sample", "--symbols", "TST-USDT,BID-USDT", "--start", "2025-06-18", "--finish", "2025-06-19")


def test_a_backtest_is_kept_with_its_page_and_can_be_compared(
    sigil: Sigil, empty_project: Project, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    ran = sigil(
        "backtest", "--variant", "baseline", "--variant", "unhinged", "--set", "hard_stop.multiplier=2", *PERIOD,
        "--json", "--html", str(page), project=empty_project,
    )  # fmt: skip
    assert ran.status == 0, ran.err
    (kept,) = shelf.listing(empty_project, "backtest")
    assert f"kept as {kept.id}\n" in ran.err
    assert kept.title == "baseline, unhinged with hard_stop.multiplier=2, 2025-06-18 to 2025-06-19"
    assert shelf.load(empty_project, kept.id) == {"reports": json.loads(ran.out)}
    shown = report("backtest", shelf.load(empty_project, kept.id))
    assert shown is not None
    assert shown.period == "2025-06-18 00:00 to 2025-06-19 00:00 UTC"
    figures, exits, settings = (section.rows for section in shown.sections)
    runs = json.loads(ran.out)
    assert figures[0] == ("trades", *(str(len(r["trades"])) for r in runs))
    assert sum(int(row[2]) for row in exits) == sum(len(r["trades"]) for r in runs) > 0
    assert ("hard_stop.multiplier", "2.0", "2.0") in settings
    assert kept.page is not None
    assert kept.page.read_text(encoding="utf-8") == page.read_text(encoding="utf-8")

    compared = sigil("compare", f"{kept.id}#baseline", f"{kept.id}#unhinged", "--json", project=empty_project)
    assert compared.status == 0, compared.err
    sides = json.loads(compared.out)
    assert [sides[s]["trades"] for s in "ab"] == [len(r["trades"]) for r in json.loads(ran.out)]


def test_a_run_that_cannot_be_kept_is_printed_all_the_same(sigil: Sigil, empty_project: Project) -> None:
    empty_project.storage.mkdir()
    (empty_project.storage / "research").write_text("in the way")
    ran = sigil("backtest", "--variant", "baseline", *PERIOD, "--json", project=empty_project)
    assert ran.status == 0, ran.err
    assert json.loads(ran.out)["variant"] == "baseline"
    assert ran.err.splitlines()[-1] == (
        f"not kept: {empty_project.storage / 'research'} cannot be written (not a directory); "
        "the panel will not show this result"
    )
