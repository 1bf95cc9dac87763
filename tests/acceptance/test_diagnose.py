"""`sigil diagnose hard-stops` as people use it: on backtests, on paper history, on the earlier bot's rows, and wrongly."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from sigil_ext.db import migrate, reading
from sigil_ext.services import shelf
from sigil_ext.settings.environment import variant_key
from tests.conftest import ROOT

LEGACY = ROOT / "tests" / "migration" / "legacy"
SYMBOLS = "TST-USDT,DOGS-USDT,NFP-USDT,HMSTR-USDT,LISTA-USDT"
ON_SAMPLE = ("diagnose", "hard-stops", "--candles", "sample", "--symbols", SYMBOLS)


def url(database) -> str:
    return database.address.url().get_secret_value()


def described(ran):
    assert ran.status == 0, ran.err
    return json.loads(ran.out)


def test_a_backtest_is_diagnosed_printed_kept_and_shown_on_a_page(sigil, empty_project, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the bundled candles are found from anywhere
    page, file = tmp_path / "page.html", tmp_path / "result.json"
    ran = sigil(
        *ON_SAMPLE, "--variant", "legacy", "--variant", "unhinged", "--html", str(page), "--json", str(file),
        project=empty_project,
    )  # fmt: skip
    assert ran.status == 0, ran.err
    document = json.loads(file.read_text())
    legacy, unhinged = document["runs"]
    assert legacy["distance"]["stop_pct"]["median"] == 3.0
    for run in (legacy, unhinged):
        assert run["positions"] > 0
        assert run["walk"] == {"walked": run["positions"], "same": run["positions"]}
        assert sum(p["usd"] for p in run["parts"]["parts"]) == pytest.approx(run["net_usd"])
        assert run["sentences"][0] in " ".join(ran.out.split())
    assert "Where the money went" in page.read_text()
    kept = shelf.listing(empty_project, "diagnosis")[0]
    assert kept.title.startswith("Hard stops of legacy, unhinged, 2025-06-16 to ")
    assert shelf.load(empty_project, kept.id) == document
    assert shelf.page_of(empty_project, kept.id).read_text() == page.read_text()


@pytest.fixture(scope="module")
def paper(server, new_database, tmp_path_factory):
    """The database of a paper session of unhinged over the first days of the sample."""
    database = new_database("unhinged")
    migrate.up(database, server.migrations)
    home = tmp_path_factory.mktemp("paper")
    for name in ("overlays", "migrations", "strategies", "sample"):
        (home / name).symlink_to(ROOT / name)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "SIGIL_"))}
    subprocess.run(
        [sys.executable, "-m", "sigil_ext", "run", "paper", "--variant", "unhinged", "--candles", str(ROOT / "sample"),
         "--finish", "2025-06-19"],
        cwd=home, env=environment | {"SIGIL_HOME": str(home), variant_key("unhinged"): url(database)}, check=True,
        capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    yield database
    database.close()


def test_paper_history_is_diagnosed_on_the_candles_that_paper_recorded(sigil, empty_project, paper, monkeypatch):
    monkeypatch.setenv(variant_key("unhinged"), url(paper))
    document = described(
        sigil("diagnose", "hard-stops", "--database", "--variant", "unhinged", "--json", "-", project=empty_project)
    )
    (run,) = document["runs"]
    closed = [p for p in reading.positions(paper) if p.status == "closed"]
    assert run["positions"] == len(closed) > 3
    assert run["net_usd"] == pytest.approx(sum(p.pnl_usd for p in closed))
    ended = sum(p.exit_reason == "session_end" for p in closed)
    assert run["walk"]["walked"] == run["positions"]
    # What the session's end closed ends in a walk as well, at the last recorded close.
    assert run["walk"]["same"] >= run["positions"] - ended
    assert run["noise"]["positions"] == run["positions"]
    assert document["source"] == "databases of unhinged, the candles that paper recorded"


@pytest.fixture
def earlier_bot(server, empty_database):
    """The earlier bot's database, brought to the newest version."""
    for name in ("013_schema.sql", "013_sample.sql"):
        with empty_database.transaction() as cur:
            cur.execute((LEGACY / name).read_text())
    migrate.up(empty_database, server.migrations)
    return empty_database


def test_the_earlier_bots_closed_rows_are_diagnosed_as_far_as_they_go(sigil, empty_project, earlier_bot, monkeypatch):
    monkeypatch.setenv(variant_key("baseline"), url(earlier_bot))
    document = described(
        sigil("diagnose", "hard-stops", "--database", "--variant", "baseline", "--json", "-", project=empty_project)
    )
    (run,) = document["runs"]
    assert run["name"] == "baseline (earlier bot)"
    assert (run["positions"], run["hard_stops"]["count"]) == (4, 2)
    assert run["net_usd"] == pytest.approx(-3.60 + 0.25 - 0.44 - 3.45)
    assert [s["symbol"] for s in run["offenders"]["symbols"]] == ["DOGS-USDT", "TST-USDT"]
    assert run["noise"]["random"] is None
    parts = {p["name"]: p["usd"] for p in run["parts"]["parts"]}
    assert sum(usd for usd in parts.values() if usd is not None) == pytest.approx(run["net_usd"])
    assert parts["geometry"] is None
    assert any("4 of 4 positions without candles" in note for note in run["notes"])


WRONG = [
    (["--database", "--set", "hard_stop.multiplier=2"], "--set changes a backtest"),
    (["--database", "--symbols", "TST-USDT"], "add --candles DIR"),
    (["--candles", "nowhere"], "no folder nowhere"),
    (["--candles", "sample", "--symbols", ","], "--symbols names no symbol"),
    (["--candles", "sample", "--symbols", "TSTT-USDT"], "did you mean"),
    (["--candles", "sample", "--variant", "basline"], "did you mean 'baseline'?"),
    (["--candles", "sample", "--start", "2025-06-20", "--finish", "2025-06-18"], "is not before"),
    (["--candles", "sample", "--seed", "-1"], "--seed"),
    (["--database", "--variant", "legacy"], "variant 'legacy' is for research only"),
    (["--candles", "sample", "--json", "sample"], "sample"),
]


@pytest.mark.parametrize(("arguments", "sentence"), WRONG, ids=[" ".join(a) for a, _ in WRONG])
def test_wrong_use_is_one_sentence(sigil, empty_project, monkeypatch, arguments, sentence):
    monkeypatch.chdir(empty_project.root)
    ran = sigil("diagnose", "hard-stops", *arguments, project=empty_project)
    assert ran.status == 2, ran.err
    assert sentence in ran.err
    assert ran.err.startswith("error: ")
    assert len(ran.err.strip().splitlines()) == 1


def test_a_database_without_a_closed_position_says_so(sigil, empty_project, database, monkeypatch):
    monkeypatch.setenv(variant_key("baseline"), url(database))
    ran = sigil("diagnose", "hard-stops", "--database", "--variant", "baseline", project=empty_project)
    assert ran.status == 2
    assert "no closed position in the database of baseline" in ran.err
    (offered,) = re.findall(r"sigil (positions list --variant baseline)", ran.err)
    assert sigil(*offered.split(), project=empty_project).status == 0
