"""Where alerts go and which: what `.env` may say, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from sigil_ext.errors import SettingsError
from sigil_ext.settings.alerts import alert_channels
from sigil_ext.settings.project import Project

ROOT = Path(__file__).parents[3]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "overlays").symlink_to(ROOT / "overlays")
    return Project(tmp_path, tmp_path / "storage")


@pytest.fixture
def channels(project):
    def read(text: str, variant: str = "baseline"):
        project.env_file.write_text(text)
        return alert_channels(project, variant)

    return read


def urls(found) -> list[str]:
    return [c.url.get_secret_value() for c in found]


def test_with_nothing_configured_there_is_no_channel(channels):
    assert channels("") == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("discord://1/a", ["discord://1/a"]),
        ("discord://1/a tgram://2/b", ["discord://1/a", "tgram://2/b"]),
        ("discord://1/a, tgram://2/b,json://c", ["discord://1/a", "tgram://2/b", "json://c"]),
        ("mailto://u:p@x.org?to=a@x.org,b@x.org json://c", ["mailto://u:p@x.org?to=a@x.org,b@x.org", "json://c"]),
        ("json://c json://c", ["json://c"]),
    ],
)
def test_addresses_are_separated_by_blanks_or_commas_and_keep_their_own(channels, text, expected):
    assert urls(channels(f"SIGIL_ALERT_URLS={text}\n")) == expected


def test_a_variant_may_have_its_own_channels_or_none(channels):
    text = "SIGIL_ALERT_URLS=json://all\nSIGIL_ALERT_URLS_MODERATE=json://own\nSIGIL_ALERT_URLS_UNHINGED=none\n"
    found = {v: urls(channels(text, v)) for v in ("baseline", "moderate", "unhinged")}
    assert found == {"baseline": ["json://all"], "moderate": ["json://own"], "unhinged": []}


def test_the_process_environment_wins(channels, monkeypatch):
    monkeypatch.setenv("SIGIL_ALERT_URLS", "json://environment")
    assert urls(channels("SIGIL_ALERT_URLS=json://file\n")) == ["json://environment"]


@pytest.mark.parametrize(
    ("text", "wanted", "held_back"),
    [
        ("", ["entry", "breaker", "test"], []),
        ("SIGIL_ALERT_EVENTS=all", ["entry", "breaker", "test"], []),
        ("SIGIL_ALERT_EVENTS=breaker,probe", ["breaker", "probe"], ["entry", "exit"]),
        ("SIGIL_ALERT_EVENTS=-entry -refused", ["breaker", "exit"], ["entry", "refused"]),
        ("SIGIL_ALERT_EVENTS=all -entry", ["breaker", "exit"], ["entry"]),
        ("SIGIL_ALERT_EVENTS=entry exit\nSIGIL_ALERT_EVENTS_BASELINE=breaker", ["breaker"], ["entry", "exit"]),
    ],
)
def test_events_are_filtered(channels, text, wanted, held_back):
    (channel,) = channels(f"SIGIL_ALERT_URLS=json://c\n{text}\n")
    assert [e for e in [*wanted, *held_back] if channel.wants(e, None)] == wanted


def test_exits_are_filtered_by_their_reason_and_nothing_else_is(channels):
    (channel,) = channels("SIGIL_ALERT_URLS=json://c\nSIGIL_ALERT_EXIT_REASONS=hard_stop,kill_switch\n")
    assert channel.wants("exit", "hard_stop")
    assert not channel.wants("exit", "atr_trail")
    assert channel.wants("refused", "cooldown")
    assert channel.wants("exit", None)


def test_a_channel_has_a_filter_of_its_own_which_apprise_does_not_see(channels):
    text = "json://c/x?sigil_events=exit,breaker&rto=3&sigil_exit_reasons=-flat_no_move tgram://1/2?sigil_events=probe"
    first, second = channels(f"SIGIL_ALERT_URLS={text}\nSIGIL_ALERT_EVENTS=-breaker\n")
    assert urls([first, second]) == ["json://c/x?rto=3", "tgram://1/2"]
    assert first.wants("exit", "hard_stop")
    assert not first.wants("exit", "flat_no_move")
    assert not first.wants("breaker", None), "both filters have to let it through"
    assert not second.wants("exit", "hard_stop")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("SIGIL_ALERT_URLS=geheim", "SIGIL_ALERT_URLS: number 1 of 1 is no address; it looks like discord://"),
        ("SIGIL_ALERT_URLS=json://c geheim", "SIGIL_ALERT_URLS: number 1 of 1 is no address"),
        ("SIGIL_ALERT_URLS_UNHINGD=json://geheim", "'SIGIL_ALERT_URLS_UNHINGD' names no variant; did you mean"),
        ("SIGIL_ALERT_URL=json://geheim", "unknown key 'SIGIL_ALERT_URL' in .*; did you mean 'SIGIL_ALERT_URLS'"),
        ("SIGIL_ALERT_URLS=json://c\nSIGIL_ALERT_EVENTS=exits", "SIGIL_ALERT_EVENTS: unknown event 'exits'; did you mean 'exit'"),
        ("SIGIL_ALERT_URLS=json://c\nSIGIL_ALERT_EVENTS=json://geheim", "SIGIL_ALERT_EVENTS holds an address; it takes names"),
        (
            "SIGIL_ALERT_URLS=json://c\nSIGIL_ALERT_EXIT_REASONS=hardstop",
            "SIGIL_ALERT_EXIT_REASONS: unknown exit reason 'hardstop'; did you mean 'hard_stop'",
        ),
        ("SIGIL_ALERT_URLS=json://c?sigil_events=prob", "SIGIL_ALERT_URLS, sigil_events: unknown event 'prob'; did you mean 'probe'"),
        ("SIGIL_ALERT_URLS=json://c?sigil_evnts=probe", "SIGIL_ALERT_URLS: unknown option 'sigil_evnts'; did you mean 'sigil_events'"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_one_sentence_without_an_address(channels, text, sentence):
    with pytest.raises(SettingsError, match=sentence) as caught:
        channels(text + "\n")
    assert "geheim" not in str(caught.value)


def test_no_address_is_ever_shown(channels):
    assert "geheim" not in repr(channels("SIGIL_ALERT_URLS=json://geheim\n"))
