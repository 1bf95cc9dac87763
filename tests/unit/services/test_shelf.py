"""The shelf: what is put there is found again, whole; nothing else is."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from sigil_ext.errors import SigilError, UsageError
from sigil_ext.services import shelf
from sigil_ext.settings.project import Project

NOON = datetime(2026, 11, 21, 12, 0, 5, 900_000, tzinfo=UTC)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, tmp_path / "storage")


def test_a_result_is_found_again_with_its_page(project: Project) -> None:
    kept = shelf.put(project, "grid", {"cells": [1, 2]}, title="a grid", page="<p>page</p>", now=NOON)
    assert shelf.listing(project) == [kept]
    assert shelf.load(project, kept.id) == {"cells": [1, 2]}
    page = shelf.page_of(project, kept.id)
    assert page is not None
    assert page.read_text() == "<p>page</p>"


def test_the_id_carries_kind_and_time_in_utc(project: Project) -> None:
    kept = shelf.put(project, "diagnosis", {}, title="t", page=None, now=NOON.astimezone(timezone(timedelta(hours=5))))
    assert kept.id.startswith("diagnosis-20261121T120005Z-")
    assert kept.at == NOON.replace(microsecond=0)
    assert shelf.page_of(project, kept.id) is None


def test_the_newest_comes_first_and_kinds_are_kept_apart(project: Project) -> None:
    old = shelf.put(project, "grid", {}, title="old", page=None, now=NOON)
    new = shelf.put(project, "grid", {}, title="new", page=None, now=NOON + timedelta(hours=1))
    other = shelf.put(project, "comparison", {}, title="other", page=None, now=NOON + timedelta(minutes=1))
    assert [e.id for e in shelf.listing(project, "grid")] == [new.id, old.id]
    assert [e.id for e in shelf.listing(project)] == [new.id, other.id, old.id]


def test_two_results_of_one_second_are_two_entries(project: Project) -> None:
    ids = {shelf.put(project, "grid", {}, title="t", page=None, now=NOON).id for _ in range(20)}
    assert len(ids) == len(shelf.listing(project)) == 20


def test_nan_is_kept_as_null(project: Project) -> None:
    kept = shelf.put(project, "backtest", {"sharpe": math.nan}, title="t", page=None, now=NOON)
    assert shelf.load(project, kept.id) == {"sharpe": None}


def test_a_broken_card_is_named_and_the_others_are_still_listed(project: Project) -> None:
    good = shelf.put(project, "grid", {}, title="good", page=None, now=NOON)
    bad = shelf.put(project, "grid", {}, title="bad", page=None, now=NOON)
    bad.file.with_suffix(".card").write_text("{")
    problems = {e.id: e.problem for e in shelf.listing(project)}
    assert problems[good.id] is None
    assert bad.id in str(problems[bad.id])


def test_a_broken_document_is_named_when_it_is_read(project: Project) -> None:
    kept = shelf.put(project, "grid", {}, title="t", page=None, now=NOON)
    kept.file.write_text('{"cells": [')
    with pytest.raises(SigilError, match=f"{kept.id}.json is not JSON"):
        shelf.load(project, kept.id)
    kept.file.unlink()
    assert "is missing" in str(shelf.listing(project)[0].problem)


def test_what_was_half_written_is_no_entry(project: Project) -> None:
    kept = shelf.put(project, "grid", {}, title="t", page=None, now=NOON)
    kept.file.with_suffix(".card").unlink()  # as if the process had been killed before the last file
    assert shelf.listing(project) == []


@pytest.mark.parametrize(
    "entry_id",
    [
        "../../../etc/passwd",
        "grid-20261121T120005Z-ab12/../x",
        "grid-20261121T120005Z-ab1",
        "",
        "grid",
        "grid\n",
        "a" * 999,
    ],
)
def test_an_id_of_another_form_never_reaches_the_disk(project: Project, entry_id: str) -> None:
    with pytest.raises(UsageError, match="is no id of a research result"):
        shelf.load(project, entry_id)


def test_an_unknown_id_gets_the_nearest_one(project: Project) -> None:
    kept = shelf.put(project, "grid", {}, title="t", page=None, now=NOON)
    wrong = kept.id[:-4] + ("0000" if not kept.id.endswith("0000") else "1111")
    with pytest.raises(UsageError, match=f"did you mean '{kept.id}'"):
        shelf.page_of(project, wrong)


def test_an_unknown_kind_is_refused(project: Project) -> None:
    with pytest.raises(UsageError, match="no kind 'grids'"):
        shelf.listing(project, "grids")
    with pytest.raises(ValueError, match="no kind"):
        shelf.put(project, "grids", {}, title="t", page=None, now=NOON)


def test_a_result_that_cannot_be_kept_is_told_and_not_lost(project: Project) -> None:
    keep = lambda: shelf.put(project, "grid", {"a": 1}, title="x", page=None, now=NOON)  # noqa: E731
    assert shelf.told(project, keep) == f"kept as {shelf.listing(project)[0].id}"
    project.storage.rename(project.root / "elsewhere")
    project.storage.write_text("in the way")
    assert shelf.told(project, keep) == (
        f"not kept: {project.storage / 'research'} cannot be written (not a directory); the panel will not show this result"
    )
