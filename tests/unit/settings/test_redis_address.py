"""The address of the user's own Redis: what is one, what is refused, and that no password is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from sigil_ext.errors import SettingsError
from sigil_ext.settings.environment import load_environment
from sigil_ext.settings.project import Project
from sigil_ext.settings.redis_address import parse_redis_url


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, tmp_path / "storage")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://127.0.0.1", "Redis at 127.0.0.1:6379"),
        ("redis://eva:geheim@redis.example:6380/3", "Redis at redis.example:6380, database 3"),
        ("rediss://:geheim@[::1]:7000/0?ssl_ca_certs=/etc/ca.pem", "Redis at [::1]:7000"),
        ("unix:///run/redis.sock?db=2", "Redis at /run/redis.sock, database 2"),
        ("redis://one?username=eva&password=geheim", "Redis at one:6379"),
    ],
)
def test_an_address_of_the_users_own_counts_and_its_place_has_no_secret(project, url, place):
    project.env_file.write_text(f"SIGIL_REDIS_URL={url}\n")
    address = load_environment(project).redis()
    assert address is not None
    assert (address.url.get_secret_value(), address.place) == (url, place)
    assert "geheim" not in f"{address} {address!r} {load_environment(project)!r}"


def test_with_no_address_the_embedded_server_is_meant(project):
    project.env_file.write_text("SIGIL_REDIS_URL=\n")
    assert load_environment(project).redis() is None


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("geheim", "SIGIL_REDIS_URL is not the address of a Redis server; example: redis://"),
        ("postgresql://eva:geheim@one", "is not the address of a Redis server"),
        ("redis://eva:geheim@one:port", "SIGIL_REDIS_URL is not an address"),
        ("redis://eva:geheim@one:99999", "SIGIL_REDIS_URL is not an address"),
        ("redis://:geheim@", "names no host"),
        ("unix://?password=geheim", "names no socket"),
        ("redis://eva:geheim@one/geheim", "names a database that is no number"),
        ("redis://eva:geheim@one?pasword=geheim", "unknown option 'pasword'; did you mean 'password'"),
        ("redis://eva:geheim@one?geheim", "SIGIL_REDIS_URL is not an address"),
    ],
)
def test_what_is_no_address_is_one_sentence_without_the_value(url, sentence):
    with pytest.raises(SettingsError, match=sentence) as caught:
        parse_redis_url(SecretStr(url))
    assert "geheim" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_misspelt_key_is_named(project):
    project.env_file.write_text("SIGIL_REDIS_ULR=redis://:geheim@one\n")
    with pytest.raises(SettingsError, match=r"unknown key 'SIGIL_REDIS_ULR' in .*; did you mean 'SIGIL_REDIS_URL'"):
        load_environment(project)
