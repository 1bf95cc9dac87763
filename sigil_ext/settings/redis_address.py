"""The address of the user's own Redis, as `.env` gives it: checked here, so that a typing error is one sentence and not
a failure hours later. Start at `parse_redis_url`."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import SecretStr

from sigil_ext.errors import SettingsError, hint

REDIS_URL_KEY = "SIGIL_REDIS_URL"
_EXAMPLE = "example: redis://user:password@127.0.0.1:6379/0 (rediss:// with TLS, unix:///run/redis.sock for a socket)"
_OPTIONS = ("db", "username", "password", "ssl_cert_reqs", "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where a Redis server is and how to enter it; `place` is the address without secrets, for messages."""

    url: SecretStr
    place: str


def parse_redis_url(secret: SecretStr, key: str = REDIS_URL_KEY) -> RedisAddress:
    """Return the address that `secret` is.

    Raises:
        SettingsError: it is none; the message names the key and what is wrong, never the value.
    """
    try:
        url = urlsplit(secret.get_secret_value())
        port = url.port or 6379
        options = dict(parse_qsl(url.query, strict_parsing=bool(url.query)))
    except ValueError:
        raise SettingsError(f"{key} is not an address; {_EXAMPLE}") from None
    if url.scheme not in ("redis", "rediss", "unix"):
        raise SettingsError(f"{key} is not the address of a Redis server; {_EXAMPLE}")
    if not (url.path if url.scheme == "unix" else url.hostname):
        raise SettingsError(f"{key} names no {'socket' if url.scheme == 'unix' else 'host'}; {_EXAMPLE}")
    for option in options:
        if option not in _OPTIONS:
            raise SettingsError(f"{key} has an unknown option '{option}'; {hint(option, _OPTIONS)}")
    database = options.get("db") or (url.path.strip("/") if url.scheme != "unix" else "") or "0"
    if not database.isdigit():
        raise SettingsError(f"{key} names a database that is no number; {_EXAMPLE}")
    host = unquote(url.hostname or "")
    where = unquote(url.path) if url.scheme == "unix" else f"{f'[{host}]' if ':' in host else host}:{port}"
    return RedisAddress(secret, f"Redis at {where}" + (f", database {database}" if database != "0" else ""))
