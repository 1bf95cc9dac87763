"""`sigil compare` and `sigil gate` as people and scripts use them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sigil_ext.services.database import open_database
from tests.paper_history import PaperHistory

SAMPLE = str(Path(__file__).resolve().parents[2] / "sample")


def test_one_key_of_a_variant_is_compared_on_candles_and_kept(sigil, server):
    ran = sigil(
        "compare", "unhinged", "unhinged:hard_stop.multiplier=1.5,trail.multiplier=3", "--candles", SAMPLE, "--json",
        project=server,
    )  # fmt: skip
    assert ran.status == 0, ran.err
    document = json.loads(ran.out)
    assert [row["key"] for row in document["settings"]["differing"]] == ["hard_stop.multiplier", "trail.multiplier"]
    assert document["settings"]["confounded"] is True
    told = json.loads(sigil("backtest", "--variant", "unhinged", "--candles", SAMPLE, "--json", project=server).out)
    assert document["a"]["trades"] == told["totals"]["count"]
    assert document["a"]["pnl_usd"] == pytest.approx(told["totals"]["net_pnl_usd"])
    assert document["a"]["before_costs_usd"] == pytest.approx(told["costs"]["gross_pnl_usd"])
    assert document["a"]["win_rate_needed"] == pytest.approx(told["totals"]["win_rate_needed"])
    by_day = {line["day"]: line["pnl_usd"] for line in told["by_day"]}
    assert {line["day"]: pytest.approx(line["a_usd"]) for line in document["by_day"]["series"]} == by_day
    kept = ran.err.strip().splitlines()[-1].removeprefix("kept as ")
    assert (server.storage / "research" / "comparison" / f"{kept}.json").is_file()


def test_the_verdict_in_words_names_both_sides_what_differs_and_what_is_missing(sigil, server, tmp_path):
    runs = []
    for name in ("baseline", "aggressive"):
        ran = sigil("backtest", "--variant", name, "--candles", SAMPLE, "--json", project=server)
        runs.append(tmp_path / f"{name}.json")
        runs[-1].write_text(ran.out)
    ran = sigil("compare", *map(str, runs), project=server)
    assert ran.status == 0, ran.err
    words = " ".join(ran.out.split())
    assert "No verdict" in words
    assert "7 days are too few for an interval" in words
    assert "Posture and multiplier differ at once" in words
    assert "win rate needed" in words


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (("compare", "baseline"), "Missing argument"),
        (("compare", "baseline", "baselin", "--candles", SAMPLE), "did you mean 'baseline'"),
        (("compare", "baseline", "moderate", "--candles", "/nowhere"), "/nowhere"),
        (("compare", "baseline", "moderate", "--effect", "-1", "--candles", SAMPLE), "--effect -1"),
        (("compare", "baseline", "moderate", "--effect", "nan", "--candles", SAMPLE), "--effect nan"),
        (("compare", "baseline", "moderate", "--symbols", ",", "--candles", SAMPLE), "names no symbol"),
        (("compare", "baseline", "moderate", "--start", "soon", "--candles", SAMPLE), "is not a date"),
        (("gate",), "say which variant"),
        (("gate", "--variant", "baseline", "--all"), "say which variant"),
        (("gate", "--variant", "baselin"), "did you mean 'baseline'"),
        (("gate", "--variant", "baseline", "--since", "soon"), "is not a date"),
    ],
)
def test_wrong_use_is_one_sentence_and_status_2(sigil, server, line, says):
    ran = sigil(*line, project=server)
    assert (ran.status, ran.out) == (2, ""), ran
    assert says in ran.err
    assert len(ran.err.strip().splitlines()) == 1


def test_the_gates_exit_status_is_0_for_a_pass_and_1_for_anything_else(sigil, empty_project):
    database = open_database("baseline", empty_project)
    PaperHistory(database).month()
    ran = sigil("gate", "--variant", "baseline", "--json", project=empty_project)
    assert ran.status == 0, ran
    document = json.loads(ran.out)
    assert (document["outcome"], document["verdict"], document["looks"], document["missing"]) == ("pass", 1, 1, [])
    ran = sigil("gate", "--variant", "baseline", project=empty_project)
    words = " ".join(ran.out.split())
    assert (ran.status, "baseline: pass" in words, "asked 2 time(s)" in words) == (0, True, True)
    assert "before costs" in words
    assert "its payoff needs" in words
    ran = sigil("gate", "--variant", "moderate", project=empty_project)
    assert ran.status == 1
    assert "moderate: not yet" in ran.out
    assert "no paper session traded a minute yet" in ran.out
    ran = sigil("gate", "--all", "--json", project=empty_project)
    assert ran.status == 1, "one that passes does not speak for the others"
    assert [d["outcome"] for d in json.loads(ran.out)] == ["pass", "not_yet", "not_yet", "not_yet"]
    database.close()
