"""Addresses and secrets from .env and the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from sigil_ext.errors import SettingsError, UsageError
from sigil_ext.settings.environment import database_name, environment_warnings, load_environment
from sigil_ext.settings.project import Project

EXAMPLE = Path(__file__).parents[3] / ".env.example"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, tmp_path / "storage")


def write(project: Project, text: str) -> None:
    project.env_file.write_text(text)
    project.env_file.chmod(0o600)


def test_with_nothing_configured_the_embedded_server_is_meant(project):
    environment = load_environment(project)
    assert environment.database("baseline") is None
    assert (environment.mode, environment.app_host, environment.app_port) == (None, "127.0.0.1", 9000)


def test_one_server_for_all_variants_each_with_its_own_database(project):
    write(project, "SIGIL_DATABASE_URL=postgresql://eva:p%40ss@db.example:6432/ignored?sslmode=require\n")
    environment = load_environment(project)
    found = {v: environment.database(v) for v in ("baseline", "moderate", "aggressive", "unhinged", "my-own")}
    assert {v: a.name for v, a in found.items()} == {
        "baseline": "sigil", "moderate": "sigil_moderate", "aggressive": "sigil_aggressive",
        "unhinged": "sigil_unhinged", "my-own": "sigil_my_own",
    }  # fmt: skip
    address = found["baseline"]
    assert (address.host, address.port, address.user) == ("db.example", 6432, "eva")
    assert address.password.get_secret_value() == "p@ss"
    assert (address.source, address.options) == ("SIGIL_DATABASE_URL", {"sslmode": "require"})


def test_a_variants_own_address_wins_and_names_its_database(project):
    write(
        project,
        "SIGIL_DATABASE_URL=postgresql://eva@one\nSIGIL_DATABASE_URL_UNHINGED=postgres://eva@two/own\n"
        "SIGIL_DATABASE_URL_MODERATE=postgres://eva@three\n",
    )
    environment = load_environment(project)
    places = [(a.host, a.name) for v in ("baseline", "unhinged", "moderate") if (a := environment.database(v))]
    assert places == [("one", "sigil"), ("two", "own"), ("three", "sigil_moderate")]


def test_jesses_own_keys_name_the_server_too(project):
    write(
        project,
        "POSTGRES_HOST=10.0.0.236\nPOSTGRES_PORT=5433\nPOSTGRES_USERNAME=jesse\nPOSTGRES_PASSWORD=geheim\n"
        "POSTGRES_NAME=jesse_db\nPASSWORD=panel\nAPP_PORT=9100\nIS_DEV_ENV=FALSE\n",
    )
    environment = load_environment(project)
    address = environment.database("moderate")
    assert (address.host, address.port, address.user, address.name) == ("10.0.0.236", 5433, "jesse", "sigil_moderate")
    assert (environment.app_port, environment.postgres_name) == (9100, "jesse_db")


def test_the_process_environment_wins_and_an_empty_value_counts_as_none(project, monkeypatch):
    write(project, "SIGIL_DATABASE_URL=postgresql://eva@one\nSIGIL_MODE=\nAPP_PORT=9100\n")
    monkeypatch.setenv("SIGIL_DATABASE_URL", "postgresql://eva@two")
    monkeypatch.setenv("APP_PORT", "")
    environment = load_environment(project)
    assert environment.database("baseline").host == "two"
    assert environment.app_port == 9100
    assert environment.mode is None


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("postgresql://e%3Ava:p%2F%40s@[::1]:6432?sslmode=disable", "e%3Ava:p%2F%40s@[::1]:6432/sigil?sslmode=disable"),
        ("postgresql://eva@/?host=/run/postgresql", "eva:@:5432/sigil?host=%2Frun%2Fpostgresql"),
        ("postgres://eva:x@db", "eva:x@db:5432/sigil"),
    ],
)
def test_an_address_can_be_written_as_a_url_again(project, given, written):
    write(project, f"SIGIL_DATABASE_URL={given}\n")
    url = load_environment(project).database("baseline").url()
    assert url.get_secret_value() == f"postgresql+psycopg2://{written}"
    assert str(url) == "**********"


def test_draft_is_the_only_mode(project, monkeypatch):
    monkeypatch.setenv("SIGIL_MODE", "draft")
    assert load_environment(project).mode == "draft"
    for mode in ("live", "DRAFT", "paper"):
        monkeypatch.setenv("SIGIL_MODE", mode)
        with pytest.raises(SettingsError, match=f"SIGIL_MODE: is '{mode}', but Sigil trades on paper only"):
            load_environment(project)


def test_no_secret_is_ever_shown(project):
    write(project, "SIGIL_DATABASE_URL=postgresql://eva:geheim@one\nPOSTGRES_PASSWORD=geheim\nPASSWORD=geheim\n")
    environment = load_environment(project)
    shown = (
        f"{environment!r} {environment} {environment.database('baseline')!r} {environment.database('baseline').url()}"
    )
    assert "geheim" not in shown


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("SIGIL_DATABASE_URL=geheim", "SIGIL_DATABASE_URL is not the address of a PostgreSQL server; example"),
        ("SIGIL_DATABASE_URL=mysql://eva:geheim@one", "not the address of a PostgreSQL server"),
        ("SIGIL_DATABASE_URL=postgresql://eva:geheim@one:port", "SIGIL_DATABASE_URL is not an address"),
        (
            "SIGIL_DATABASE_URL=postgresql://eva:geheim@one?sslmoed=1",
            "unknown option 'sslmoed'; did you mean 'sslmode'",
        ),
        ("SIGIL_DATABASE_URL_BASELINE=geheim", "SIGIL_DATABASE_URL_BASELINE is not"),
        ("SIGIL_DATABSE_URL=geheim", "unknown key 'SIGIL_DATABSE_URL' in .*; did you mean 'SIGIL_DATABASE_URL'"),
        ("POSTGRES_PORT=geheim", "POSTGRES_PORT: input should be a valid integer"),
        ("APP_PORT=70000", "APP_PORT: input should be less than or equal to 65535"),
        ("SIGIL_API_TOKEN=choose-one", "SIGIL_API_TOKEN: still is the example's; make one with: openssl rand -hex 32"),
        ("SIGIL_API_ACT_TOKEN=choose-another", "SIGIL_API_ACT_TOKEN: still is the example's"),
        ("SIGIL_API_TOKEN=geheim-für-alle", "SIGIL_API_TOKEN: holds characters that no header carries as they are"),
        ('SIGIL_API_ACT_TOKEN=" geheim"', "SIGIL_API_ACT_TOKEN: holds characters that no header carries as they are"),
    ],
)
def test_what_cannot_be_read_is_named_by_its_key_and_never_by_its_value(project, line, sentence):
    write(project, line + "\n")
    with pytest.raises(SettingsError, match=sentence) as caught:
        load_environment(project).database("baseline")
    assert "geheim" not in str(caught.value)


def test_a_file_that_is_no_text_is_one_sentence(project):
    project.env_file.write_bytes(b"PASSWORD=\xff\xfe\n")
    with pytest.raises(SettingsError, match=r"cannot read .*\.env: not UTF-8"):
        load_environment(project)


@pytest.mark.parametrize(
    "line", ["GARBAGE LINE", "SIGIL_DATABASE_URL postgresql://eva:geheim@one", "geheim", "=geheim", 'PASSWORD="geheim']
)
def test_a_line_that_says_nothing_is_named_by_its_number_and_not_repeated(project, line):
    write(project, f"# addresses\nAPP_PORT=9100\n\n{line}\nPOSTGRES_HOST=db\n")
    with pytest.raises(SettingsError, match=r"line 4 of .*\.env is not KEY=value") as caught:
        load_environment(project)
    assert "geheim" not in str(caught.value)


def test_what_dotenv_files_may_hold_is_read(project):
    write(
        project,
        "\ufeff# a comment\n\n  \nexport POSTGRES_HOST=db  # with a comment\nPOSTGRES_USERNAME='e v a'\nPASSWORD=\n"
        'POSTGRES_PASSWORD="two\nlines"\nNOT_OURS = {"a": 1}\n',
    )
    address = load_environment(project).database("baseline")
    assert (address.host, address.user, address.password.get_secret_value()) == ("db", "e v a", "two\nlines")


def test_research_has_no_database():
    with pytest.raises(UsageError, match="'legacy' is for research only"):
        database_name("legacy")


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, True), (0o604, True), (0o400, False)])
def test_a_file_that_others_can_read_is_warned_about(project, mode, warned):
    write(project, "PASSWORD=x\n")
    project.env_file.chmod(mode)
    warnings = environment_warnings(project)
    assert bool(warnings) is warned
    assert all("chmod 600" in sentence for sentence in warnings)


def test_without_a_file_there_is_nothing_to_warn_about(project):
    assert environment_warnings(project) == []


def test_the_example_names_every_key_and_all_its_lines_can_be_used(project):
    text = EXAMPLE.read_text()
    lines = [line.removeprefix("#") for line in text.splitlines() if "=" in line and line[1:2].isupper()]
    write(project, "\n".join(lines) + "\n")
    environment = load_environment(project)
    assert environment.database("baseline").host == "10.0.0.236"
    fields = [f.alias for f in type(environment).model_fields.values() if f.alias]
    assert [key for key in fields if text.count(f"\n#{key}=") != 1] == []
