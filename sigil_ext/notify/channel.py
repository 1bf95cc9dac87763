"""A channel: one apprise address and what came of sending through it. Nothing of the address is ever said.

Start at `open_channel`. What went wrong is told by apprise in words that may hold the address, so only the kind of the
failure is taken from them.
"""

from __future__ import annotations

import hashlib
import logging
import re
import warnings
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Literal

from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType
from apprise.manager_plugins import NotificationManager
from apprise.result import AppriseResult, AppriseResultStatus

from sigil_ext.errors import SettingsError, hint
from sigil_ext.rules.messages import Severity
from sigil_ext.settings.alerts import EXAMPLE, ChannelSetting

CONNECT_TIMEOUT_S = 4.0
LONGEST_WAIT_S = 3.0

# Apprise tells the reason of a failure at level DEBUG only, together with the address: it is kept from every other logger.
_LOGGER = logging.getLogger("apprise")
_LOGGER.setLevel(logging.DEBUG)
_LOGGER.propagate = False
_LOGGER.addHandler(logging.NullHandler())
logging.getLogger("urllib3").setLevel(logging.INFO)  # at DEBUG it writes the path, which is a webhook's secret

_STATUS = re.compile(r"\berror=(\d{3})\b")
_KINDS = (
    # Sent, and no answer heard: it may have arrived.
    (re.compile(r"read timed? ?out|Connection aborted|RemoteDisconnected|Connection reset", re.IGNORECASE), True,
     "took the message and did not answer"),
    (re.compile(r"refused", re.IGNORECASE), False, "refused the connection"),
    (re.compile(r"resolve|getaddrinfo|Name or service|nodename", re.IGNORECASE), False, "its host name is not known"),
    (re.compile(r"unreachable", re.IGNORECASE), False, "no network"),
    (re.compile(r"connect timeout|ConnectTimeout|connection to \S+ timed out", re.IGNORECASE), False,
     "no connection in time"),
    (re.compile(r"certificate|SSL", re.IGNORECASE), False, "its certificate is not valid"),
    (re.compile(r"authenticat|login", re.IGNORECASE), False, "refused user or password"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of sending one message.

    `refused`: the channel works and does not want this message. `busy`: it wants to be left alone, for `rest_s` if it
    said how long. `doubtful`: it may have arrived although it failed.
    """

    state: Literal["sent", "failed", "refused", "busy"]
    error: str = ""
    doubtful: bool = False
    rest_s: float = 0.0


class _MustWait(Exception):
    """The channel wants more time than a message has."""


class Channel:
    """One address. `name` is the service and a number made from the address, the same in every process."""

    def __init__(self, setting: ChannelSetting, plugin: Any, name: str) -> None:
        self.setting = setting
        self.name = name
        self.service = str(plugin.service_name)
        self._plugin = plugin
        self._apprise = Apprise()
        self._apprise.add(plugin)
        # A plugin sleeps when its service says so. Longer than the time of a message, it would be given up and the sleeper
        # would send it all the same, some time later: it must not fall asleep.
        self._throttle = plugin.throttle
        self._rest_s = 0.0
        plugin.throttle = self._wait

    def __repr__(self) -> str:
        return f"Channel({self.name})"

    def wants(self, event: str, reason: str | None) -> bool:
        return self.setting.wants(event, reason)

    def send(self, title: str, body: str, severity: Severity, *, timeout_s: float) -> Outcome:
        """Send one message and wait for the answer, `timeout_s` at most. Never raises for what the channel does."""
        self._plugin.socket_connect_timeout = min(CONNECT_TIMEOUT_S, timeout_s)
        self._plugin.socket_read_timeout = max(0.1, timeout_s - 0.5)
        self._rest_s = 0.0
        result = self._apprise.notify(
            body,
            title=title,
            notify_type=NotifyType(severity),
            body_format=NotifyFormat.TEXT,
            timeout=timeout_s,
            log_level=logging.DEBUG,
        )
        if self._rest_s and not result:
            return Outcome("busy", f"asks to be left alone for {self._rest_s:.0f} s", rest_s=self._rest_s)
        return _outcome(result)

    def _wait(self, last_io: Any = None, wait: float | None = None) -> None:
        if wait is not None and wait > LONGEST_WAIT_S:
            self._rest_s = wait
            raise _MustWait
        self._throttle(last_io, wait)


def open_channels(settings: tuple[ChannelSetting, ...]) -> list[Channel]:
    """Return a channel for each setting.

    Raises:
        SettingsError: apprise knows no such kind of address, or cannot read it.
    """
    return [open_channel(setting) for setting in settings]


@lru_cache(maxsize=64)
def open_channel(setting: ChannelSetting) -> Channel:
    """Return the channel of `setting`, the same one every time: it remembers when it last sent.

    Raises:
        SettingsError: apprise knows no such kind of address, or cannot read it.
    """
    url = setting.url.get_secret_value()
    scheme = url.partition("://")[0].lower()
    _load_plugins()
    plugin = Apprise.instantiate(url, asset=AppriseAsset(app_id="Sigil", app_desc="Sigil", app_url=""))
    if plugin is None:
        known = sorted(NotificationManager().schemas())  # type: ignore[no-untyped-call]
        if scheme not in known and scheme not in ("http", "https"):
            raise SettingsError(f"{setting.source}: unknown kind of address '{scheme}://'; {hint(scheme, known)}")
        raise SettingsError(
            f"{setting.source}: an address '{scheme}://...' cannot be read; such ones look like {EXAMPLE}, "
            "see https://github.com/caronc/apprise/wiki"
        )
    service = re.sub(r"\W+", "", str(plugin.service_name)).lower()
    return Channel(setting, plugin, f"{service}-{_fingerprint(url)}")


@cache
def _load_plugins() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a module that apprise's e-mail plugin imports
        NotificationManager().load_modules()  # type: ignore[no-untyped-call]


def _fingerprint(url: str) -> str:
    """Return 8 characters that tell addresses apart. Slow by intent: nobody shall guess a password from them."""
    return hashlib.pbkdf2_hmac("sha256", url.encode(), b"sigil alert channel", 100_000, 4).hex()


def _outcome(result: AppriseResult) -> Outcome:
    if result:
        return Outcome("sent")
    if result.status == AppriseResultStatus.TIMEOUT:
        return Outcome("failed", "did not finish in time", doubtful=True)
    said = " ".join(str(entry) for entry in result.logs())
    if status := _STATUS.search(said):
        code = int(status[1])
        if code == 429:
            return Outcome("busy", "answered 429: too many messages")
        return Outcome("refused" if 400 <= code < 500 and code != 408 else "failed", f"answered {code}")
    for pattern, doubtful, words in _KINDS:
        if pattern.search(said):
            return Outcome("failed", words, doubtful)
    return Outcome("failed", "could not be reached or refused the message")
