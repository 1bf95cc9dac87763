from __future__ import annotations

import re
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sigil_ext.errors import SettingsError, UnknownVariant, UsageError
from sigil_ext.settings.models import format_duration, parse_duration
from sigil_ext.settings.overlays import KEY_PATHS, flatten, known_variants, load_variant, merge, parse_override
from sigil_ext.settings.project import Project, find_project

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def project(tmp_path):
    shutil.copytree(ROOT / "overlays", tmp_path / "overlays")
    return Project(tmp_path, tmp_path / "storage")


def write(project: Project, name: str, text: str) -> None:
    (project.overlays / f"{name}.yaml").write_text(text)


@pytest.mark.parametrize("name", known_variants())
def test_every_overlay_loads(name):
    assert load_variant(name).name == name


def test_the_four_traded_variants_come_first():
    assert known_variants() == ["baseline", "moderate", "aggressive", "unhinged", "legacy"]


def test_settings_are_frozen():
    with pytest.raises(ValidationError):
        load_variant("baseline").settings.hard_stop.multiplier = 9.0  # type: ignore[misc]


def test_each_value_knows_the_file_it_came_from():
    origins = load_variant("baseline", ["trail.multiplier=2"]).origins
    assert origins["signal_timeframe"] == "overlays/base.yaml"
    assert origins["entry.breakout_lookback"] == "overlays/baseline.yaml"
    assert origins["trail.multiplier"] == "--set"
    assert set(origins) == set(KEY_PATHS)


@pytest.mark.parametrize("name", known_variants())
def test_an_overlay_names_only_what_differs_from_base(name):
    def flat(document, prefix=""):
        for key, value in document.items():
            if isinstance(value, dict):
                yield from flat(value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", value

    base = dict(flat(yaml.safe_load((ROOT / "overlays" / "base.yaml").read_text())))
    own = dict(flat(yaml.safe_load((ROOT / "overlays" / f"{name}.yaml").read_text())))
    assert {k: v for k, v in own.items() if base[k] == v} == {}


def test_base_holds_every_key_once(project):
    document = yaml.safe_load((ROOT / "overlays" / "base.yaml").read_text())
    assert sorted(flatten(load_variant("baseline").settings)) == sorted(KEY_PATHS)
    assert set(document) == {path.split(".")[0] for path in KEY_PATHS}


@pytest.mark.parametrize("name", known_variants())
def test_what_is_flattened_merges_back_to_the_same(name):
    settings = load_variant(name).settings
    assert merge(name, [("x", flatten(settings))]).settings == settings


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("hard_stop.multipler=2", ["hard_stop.multipler", "did you mean 'hard_stop.multiplier'"]),
        ("multiplier=2", ["multiplier", "hard_stop.multiplier"]),
        ("hard_stop.multiplier=wide", ["hard_stop.multiplier", "wide", "number"]),
        ("hard_stop.multiplier=true", ["hard_stop.multiplier", "number"]),
        ("hard_stop.multiplier='2.5'", ["hard_stop.multiplier", "plainly"]),
        ("guard.max_open_positions=2.5", ["guard.max_open_positions", "2.5"]),
        ("guard.one_position_per_symbol=7", ["guard.one_position_per_symbol"]),
        ("hard_stop.floor_pct=9", ["floor_pct (9)", "cap_pct (6)"]),
        ("hard_stop.floor_pct=0.01", ["hard_stop.floor_pct", "0.01"]),
        ("entry.rsi_min=90", ["rsi_min (90)", "rsi_max (75)"]),
        ("ban.base_hours=200", ["base_hours (200)", "max_hours (168)"]),
        ("universe.min_atr_pct=20", ["min_atr_pct (20)", "max_atr_pct (10)"]),
        ("universe.max_price=0.00001", []),
        ("sizing.max_position_usd=2", ["max_position_usd (2)", "min_notional_usd (5)"]),
        ("atr_timeframe=5m", ["atr_timeframe (5m)", "signal_timeframe (15m)"]),
        ("signal_timeframe=7m", ["signal_timeframe", "7m"]),
        ("universe.every=10m", ["universe.every (10m)", "15m"]),
        ("flat.after=8", ["flat.after", "8h"]),
        ("flat.after=-1h", ["flat.after"]),
        ("flat.after=", ["flat.after"]),
        ("costs.fee_pct=.nan", ["costs.fee_pct"]),
        ("nothing", ["key=value"]),
        ("=3", ["key=value"]),
        ("entry.rsi_max=[1", ["entry.rsi_max"]),
    ],
)
def test_what_cannot_be_meant_is_refused_with_key_and_value(override, words):
    if not words:
        assert load_variant("baseline", [override]).settings.universe.max_price == 0.00001
        return
    with pytest.raises(SettingsError) as refused:
        load_variant("baseline", [override])
    for word in words:
        assert word in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1_000", 1000),
        ("1e3", 1000.0),
        ("1.5e+3", 1500.0),
        (".5", 0.5),
        ("-.5", -0.5),
        ("5.", 5.0),
        ("+2", 2),
        ("2 # why", 2),
        ("no", False),
        ("2025-01-01", "2025-01-01"),
        ("2025-01-01 12:30:00", "2025-01-01 12:30:00"),
        ("08h", "08h"),
        ("'010'", "010"),
        ("", None),
    ],
)
def test_a_value_is_what_a_person_reads_in_it(written, value, project):
    assert parse_override(f"flat.after={written}") == {"flat.after": value}
    assert type(parse_override(f"flat.after={written}")["flat.after"]) is type(value)


@pytest.mark.parametrize(
    "written",
    [
        "010",
        "08",
        "0x10",
        "0b11",
        "0o17",
        "1:30",
        "08:00",
        "190:20:30.15",
        "1_0",
        "1__000",
        "1_",
        "!!int 010",
        "9" * 5000,
    ],
)
def test_a_number_that_can_be_read_in_two_ways_is_refused_wherever_it_stands(written, project):
    sentence = f"'{written.removeprefix('!!int ')[:40]}' is not a plainly written value; write it like 10, 2.5 or 90m"
    with pytest.raises(SettingsError, match=f"^--set sizing.starting_balance: {re.escape(sentence)}$"):
        load_variant("baseline", [f"sizing.starting_balance={written}"], project)
    write(project, "mine", f"entry:\n  rsi_min: 50\n  breakout_lookback: {written}\n")
    with pytest.raises(SettingsError, match=f"^overlays/mine.yaml: line 3: {re.escape(sentence)}$"):
        load_variant("mine", project=project)


@pytest.mark.parametrize(
    "written", ["=", "<<", "*a", "@", "[1", "!!python/name:os.system", "1\n---\n2", "[" * 1500, "\0"]
)
def test_what_is_no_value_at_all_gets_one_short_sentence(written):
    with pytest.raises(SettingsError, match=r"^--set hard_stop\.multiplier: '.{,40}' is not a value$"):
        parse_override(f"hard_stop.multiplier={written}")


def test_a_list_as_a_key_is_refused(project):
    write(project, "mine", "? [entry, rsi_min]\n: 50\n")
    with pytest.raises(SettingsError, match=r"overlays/mine\.yaml is not YAML: .*unhashable key"):
        load_variant("mine", project=project)


def test_a_key_missing_from_base_is_named(project):
    text = (
        (project.overlays / "base.yaml")
        .read_text()
        .replace("  multiplier: 1.5             # stop distance", "  # stop distance")
    )
    write(project, "base", text)
    with pytest.raises(SettingsError, match=r"hard_stop\.multiplier"):
        load_variant("moderate", project=project)


def test_a_key_given_twice_is_refused_and_named(project):
    write(project, "moderate", "entry:\n  rsi_min: 50\n  rsi_min: 60\n")
    with pytest.raises(SettingsError, match="rsi_min"):
        load_variant("moderate", project=project)


def test_a_key_given_by_its_path_and_in_its_section_is_refused(project):
    write(project, "mine", "entry.rsi_min: 50\nentry:\n  rsi_min: 60\n")
    with pytest.raises(SettingsError, match=r"^overlays/mine\.yaml: key 'entry\.rsi_min' is given twice$"):
        load_variant("mine", project=project)


@pytest.mark.parametrize("text", ["entry:\n", "entry: 5\n", "entry: {}\n"])
def test_a_section_without_keys_is_called_a_section(project, text):
    write(project, "mine", text)
    with pytest.raises(
        SettingsError, match=r"^'entry' in overlays/mine\.yaml is a section.*, like entry\.breakout_lookback$"
    ):
        load_variant("mine", project=project)


def test_an_empty_overlay_is_base(project):
    write(project, "mine", "# nothing differs\n")
    assert flatten(load_variant("mine", project=project).settings)["entry.breakout_lookback"] == 20


def test_an_unknown_variant_gets_the_nearest_name(project):
    with pytest.raises(UnknownVariant, match="did you mean 'baseline'"):
        load_variant("basline", project=project)


def test_a_variant_is_a_name_and_never_a_path(project):
    with pytest.raises(UnknownVariant):
        load_variant("../overlays/baseline", project=project)


def test_a_later_override_wins():
    assert load_variant("baseline", ["trail.multiplier=2", "trail.multiplier=3"]).settings.trail.multiplier == 3


def test_an_override_is_read_as_yaml():
    assert parse_override("guard.one_position_per_symbol=false") == {"guard.one_position_per_symbol": False}


@given(st.integers(1, 10**7).map(lambda seconds: timedelta(seconds=seconds)))
def test_a_duration_survives_being_written(duration):
    assert parse_duration(format_duration(duration)) == duration


def test_the_project_is_found_by_variable_then_by_folder_then_by_package(tmp_path, monkeypatch, project):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIGIL_HOME", str(ROOT))
    assert find_project().root == ROOT
    monkeypatch.delenv("SIGIL_HOME")
    assert find_project().root == tmp_path
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert find_project(elsewhere).root == ROOT
    monkeypatch.setenv("SIGIL_HOME", str(elsewhere))
    with pytest.raises(UsageError, match="SIGIL_HOME"):
        find_project()
