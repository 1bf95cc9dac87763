"""What a channel says of a message that went wrong, by real answers of a server on this machine."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from apprise.plugins.discord import NotifyDiscord
from pydantic import SecretStr

from sigil_ext.db.outbox import Outbox
from sigil_ext.errors import SettingsError
from sigil_ext.notify.channel import open_channel
from sigil_ext.notify.sender import Sender
from sigil_ext.settings.alerts import ChannelSetting


def channel(url: str):
    return open_channel(ChannelSetting(SecretStr(url), (), "SIGIL_ALERT_URLS"))


@pytest.mark.parametrize(
    ("status", "state", "error"),
    [
        (204, "sent", ""),
        (500, "failed", "answered 500"),
        (503, "failed", "answered 503"),
        (401, "refused", "answered 401"),
        (404, "refused", "answered 404"),
        (429, "busy", "answered 429: too many messages"),
    ],
)
def test_an_answer_is_a_reason(receiver, status, state, error):
    receiver.answer = lambda title: status
    outcome = receiver.channel().send("title", "body", "info", timeout_s=3)
    assert (outcome.state, outcome.error, outcome.doubtful) == (state, error, False)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("json://127.0.0.1:1/SECRET", "refused the connection"),
        ("json://no-such-host.invalid/SECRET", "its host name is not known"),
    ],
)
def test_an_address_without_a_server_is_a_reason_and_nothing_may_have_arrived(url, error):
    outcome = channel(url).send("title", "body", "info", timeout_s=3)
    assert (outcome.state, outcome.error, outcome.doubtful) == ("failed", error, False)


def test_a_server_that_speaks_no_tls_is_not_sent_to(receiver):
    outcome = channel(receiver.url.replace("json://", "jsons://")).send("title", "body", "info", timeout_s=3)
    assert (outcome.state, receiver.got) == ("failed", [])


LOGGING_EVERYTHING = """
import logging, sys
logging.basicConfig(level=logging.DEBUG)
from pydantic import SecretStr
from sigil_ext.notify.channel import open_channel
from sigil_ext.settings.alerts import ChannelSetting
setting = ChannelSetting(SecretStr(sys.argv[1]), (), "SIGIL_ALERT_URLS")
one = open_channel(setting)
print(one, repr(one), one.name, setting, one.send("title", "body", "info", timeout_s=3))
"""


@pytest.mark.parametrize("server", ["fails", "is gone"])
def test_nothing_of_an_address_is_said_or_logged_even_when_everything_is(receiver, server):
    receiver.answer = lambda title: 500
    if server == "is gone":
        receiver.stop()
    done = subprocess.run(
        [sys.executable, "-c", LOGGING_EVERYTHING, receiver.url], capture_output=True, text=True, timeout=60, check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    assert "failed" in done.stdout
    assert "SECRET" not in done.stdout + done.stderr


def test_a_channel_has_the_same_name_in_every_process_and_another_for_another_address():
    assert channel("json://127.0.0.1:1/a").name == "json-c88fec09"
    assert channel("json://127.0.0.1:1/b").name != channel("json://127.0.0.1:1/a").name


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("dicsord://id/geheim", "SIGIL_ALERT_URLS: unknown kind of address 'dicsord://'; did you mean 'discord'"),
        ("discord://geheim", "SIGIL_ALERT_URLS: an address 'discord://...' cannot be read; such ones look like"),
        ("https://example.com/geheim", "SIGIL_ALERT_URLS: an address 'https://...' cannot be read"),
    ],
)
def test_an_address_that_cannot_be_used_is_one_sentence_without_it(url, sentence):
    with pytest.raises(SettingsError) as caught:
        channel(url)
    assert str(caught.value).startswith(sentence)
    assert "geheim" not in str(caught.value)
    assert caught.value.__cause__ is None


# --- Discord, as it speaks ---------------------------------------------------------------------------------------------


class DiscordServer:
    """Answers as Discord does: 204 with how many messages are left, 429 when there are none."""

    def __init__(self) -> None:
        self.got: list[str] = []
        self.left, self.reset = 5, 0.0
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                free = server.left > 0 or time.time() >= server.reset
                if free:
                    server.left -= 1
                    server.got.append(sent["content"])
                self.send_response(204 if free else 429)
                self.send_header("X-RateLimit-Remaining", str(max(0, server.left)))
                self.send_header("X-RateLimit-Reset", str(int(server.reset)))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def discord(monkeypatch: pytest.MonkeyPatch) -> Iterator[DiscordServer]:
    server = DiscordServer()
    monkeypatch.setattr(NotifyDiscord, "notify_url", f"http://127.0.0.1:{server.http.server_port}")
    yield server
    server.http.shutdown()
    server.http.server_close()


def test_discord_is_left_alone_as_long_as_it_asks_for_and_then_gets_the_rest_in_order(database, discord, alert):
    discord.reset = time.time() + 30
    for number in range(8):
        alert("entry", f"{number}")
    one, sender = channel("discord://417429632418316298/a-webhook-token-of-some-length"), Sender(database)
    began = time.monotonic()
    counts = sender.deliver([one])
    assert time.monotonic() - began < 5, "it does not sleep for half a minute"
    assert (counts.sent, counts.waiting) == (5, 3)
    assert "asks to be left alone for" in counts.errors[0]
    assert sender.deliver([one]).failed == 0, "it is not even asked"
    discord.left, discord.reset = 5, 0.0
    with database.transaction() as cur:
        cur.execute("UPDATE alert_channels SET next_attempt_at = now() RETURNING extract(epoch FROM now())")
    one._plugin.ratelimit_remaining = 1.0  # half a minute later
    assert sender.deliver([one]).waiting == 0
    assert [text.splitlines()[0].split(": ")[1].strip("*_ ") for text in discord.got] == list("01234567")
    assert Outbox(database).list(waiting=True) == []
