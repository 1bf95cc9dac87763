"""Where alerts go and which: SIGIL_ALERT_URLS, SIGIL_ALERT_EVENTS and SIGIL_ALERT_EXIT_REASONS, and a variant's own.

Knows the form of an address, not what is behind it. Start at `alert_channels`. No address is ever part of a message.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from pydantic import SecretStr

from sigil_ext.errors import SettingsError, hint
from sigil_ext.rules.messages import EVENTS
from sigil_ext.rules.types import EXIT_REASONS
from sigil_ext.settings.environment import ALERT_KEYS, Environment, load_environment, variant_key
from sigil_ext.settings.project import Project
from sigil_ext.settings.strategies import known_sessions

URLS_KEY, EVENTS_KEY, EXIT_REASONS_KEY = ALERT_KEYS
EXAMPLE = "discord://webhook_id/webhook_token or tgram://bot_token/chat_id"

_NEXT_ADDRESS = re.compile(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)")  # a comma inside an address is the address's own
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+\Z")
_OWN_OPTION = re.compile(r"(?<=[?&])sigil_(\w+)=([^&]*)(?:&|\Z)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Names:
    """A choice among names: all, or the `included`, and never the `excluded`."""

    included: frozenset[str] | None = None
    excluded: frozenset[str] = frozenset()

    def __contains__(self, name: str) -> bool:
        return name not in self.excluded and (self.included is None or name in self.included)


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Which alerts are wanted: by event, and exits by their reason as well."""

    events: Names = Names()
    exit_reasons: Names = Names()

    def wants(self, event: str, reason: str | None) -> bool:
        return event in self.events and (event != "exit" or reason is None or reason in self.exit_reasons)


@dataclass(frozen=True, slots=True)
class ChannelSetting:
    """One address, with what has to pass for it; `source` is the key that named it."""

    url: SecretStr
    filters: tuple[AlertFilter, ...]
    source: str

    def wants(self, event: str, reason: str | None) -> bool:
        return all(f.wants(event, reason) for f in self.filters)


def alert_channels(project: Project, variant: str) -> tuple[ChannelSetting, ...]:
    """Return the channels of `variant`, none if nothing is configured or the variant says `none`.

    Raises:
        SettingsError: an address has no form, a name in a filter is unknown, or a key names no variant.
    """
    environment = load_environment(project)
    _demand_known_variants(environment, known_sessions(project))
    urls, source = _value(environment, variant, URLS_KEY)
    if urls.strip().lower() in ("", "none"):
        return ()
    everywhere = AlertFilter(
        _names(*_value(environment, variant, EVENTS_KEY), EVENTS, "event"),
        _names(*_value(environment, variant, EXIT_REASONS_KEY), EXIT_REASONS, "exit reason"),
    )
    return tuple(_channel(url, source, everywhere) for url in dict.fromkeys(_addresses(urls, source)))


def _value(environment: Environment, variant: str, key: str) -> tuple[str, str]:
    """Return the value that holds for `variant`, and the name of the key that it stands under."""
    own = variant_key(variant, key)
    if own in environment.variant_alerts:
        return environment.variant_alerts[own].get_secret_value(), own
    urls = environment.alert_urls.get_secret_value() if environment.alert_urls else None
    shared = {URLS_KEY: urls, EVENTS_KEY: environment.alert_events, EXIT_REASONS_KEY: environment.alert_exit_reasons}
    return shared[key] or "", key


def _demand_known_variants(environment: Environment, variants: Sequence[str]) -> None:
    known = {variant_key(v, key) for v in variants for key in ALERT_KEYS}
    for key in environment.variant_alerts:
        if key not in known:
            raise SettingsError(f"'{key}' names no variant; {hint(key, known)}")


def _addresses(text: str, source: str) -> list[str]:
    found = [part.strip(" \t\r\n,") for part in _NEXT_ADDRESS.split(text.strip())]
    for number, address in enumerate(found, 1):
        if not _ADDRESS.match(address):
            raise SettingsError(f"{source}: number {number} of {len(found)} is no address; it looks like {EXAMPLE}")
    return found


def _channel(address: str, source: str, everywhere: AlertFilter) -> ChannelSetting:
    """Take Sigil's own options out of the address; apprise must not see them."""
    options = {name.lower(): unquote(value) for name, value in _OWN_OPTION.findall(address)}
    for name in options:
        if name not in ("events", "exit_reasons"):
            known = ("sigil_events", "sigil_exit_reasons")
            raise SettingsError(f"{source}: unknown option 'sigil_{name}'; {hint(f'sigil_{name}', known)}")
    own = AlertFilter(
        _names(options.get("events", ""), f"{source}, sigil_events", EVENTS, "event"),
        _names(options.get("exit_reasons", ""), f"{source}, sigil_exit_reasons", EXIT_REASONS, "exit reason"),
    )
    return ChannelSetting(SecretStr(_OWN_OPTION.sub("", address).rstrip("?&")), (everywhere, own), source)


def _names(text: str, source: str, known: Sequence[str], what: str) -> Names:
    """Read `exit breaker` (only these), `-refused` (all but it) or `all`."""
    included: set[str] = set()
    excluded: set[str] = set()
    everything = False
    for word in re.split(r"[\s,]+", text.strip()):
        name = word.removeprefix("-")
        if word in ("", "all"):
            everything = everything or word == "all"
        elif name not in known:
            if "://" in name:
                raise SettingsError(f"{source} holds an address; it takes names of {what}s: {', '.join(known)}")
            raise SettingsError(f"{source}: unknown {what} '{name}'; {hint(name, known)}")
        else:
            (excluded if word.startswith("-") else included).add(name)
    return Names(frozenset(included) if included and not everything else None, frozenset(excluded))
