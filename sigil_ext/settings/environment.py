"""Addresses and secrets: the project's `.env` and the process environment, which wins. Decides nothing about trading.

Start at `load_environment`. With neither a SIGIL_DATABASE_URL nor a POSTGRES_HOST there is no server of the user's, and
the embedded one is meant. No secret is ever part of a message, a `str()` or a `repr()`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sigil_ext.errors import SettingsError, UsageError, hint
from sigil_ext.settings.overlays import RESEARCH_ONLY
from sigil_ext.settings.project import Project
from sigil_ext.settings.redis_address import REDIS_URL_KEY, RedisAddress, parse_redis_url

URL_KEY = "SIGIL_DATABASE_URL"
ALERT_KEYS = ("SIGIL_ALERT_URLS", "SIGIL_ALERT_EVENTS", "SIGIL_ALERT_EXIT_REASONS")
API_KEYS = ("SIGIL_API_TOKEN", "SIGIL_API_ACT_TOKEN")
_EXAMPLE_TOKENS = ("choose-one", "choose-another")
_KNOWN_SIGIL_KEYS = (URL_KEY, REDIS_URL_KEY, "SIGIL_MODE", "SIGIL_HOME", *ALERT_KEYS, *API_KEYS)
_KEYS_OF_VARIANTS = tuple(f"{key}_" for key in (URL_KEY, *ALERT_KEYS))
_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg2")
_URL_OPTIONS = ("host", "sslmode", "sslrootcert", "sslcert", "sslkey", "target_session_attrs")


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """Where one variant's database is and how to enter it; `source` says which setting named it."""

    host: str
    port: int
    user: str
    password: SecretStr
    name: str
    source: str
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """The address without secrets, for messages."""
        return f"database '{self.name}' on {self.host}:{self.port}"

    def url(self) -> SecretStr:
        """Return the address as SQLAlchemy reads it (`postgresql+psycopg2://...`)."""
        user, password = quote(self.user, safe=""), quote(self.password.get_secret_value(), safe="")
        host, options = self.host, dict(self.options)
        if host.startswith("/"):  # a socket's folder
            host, options = "", {"host": host, **options}
        elif ":" in host:
            host = f"[{host}]"
        asked = "?" + urlencode(options) if options else ""
        return SecretStr(
            f"postgresql+psycopg2://{user}:{password}@{host}:{self.port}/{quote(self.name, safe='')}{asked}"
        )


class Environment(BaseSettings):
    """What `.env` and the process environment say. Jesse's own keys keep Jesse's names."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", case_sensitive=True, env_ignore_empty=True, populate_by_name=True
    )

    postgres_host: str | None = Field(default=None, alias="POSTGRES_HOST")
    postgres_port: int = Field(default=5432, ge=1, le=65535, alias="POSTGRES_PORT")
    postgres_username: str = Field(default="postgres", alias="POSTGRES_USERNAME")
    postgres_password: SecretStr = Field(default=SecretStr(""), alias="POSTGRES_PASSWORD")
    postgres_name: str | None = Field(default=None, alias="POSTGRES_NAME")
    postgres_schema: str = Field(default="jesse", alias="POSTGRES_SCHEMA")
    password: SecretStr | None = Field(default=None, alias="PASSWORD")
    app_host: str = Field(default="127.0.0.1", alias="APP_HOST")
    app_port: int = Field(default=9000, ge=1, le=65535, alias="APP_PORT")
    database_url: SecretStr | None = Field(default=None, alias=URL_KEY)
    redis_url: SecretStr | None = Field(default=None, alias=REDIS_URL_KEY)
    mode: Literal["draft"] | None = Field(default=None, alias="SIGIL_MODE")
    alert_urls: SecretStr | None = Field(default=None, alias="SIGIL_ALERT_URLS")
    alert_events: str | None = Field(default=None, alias="SIGIL_ALERT_EVENTS")
    alert_exit_reasons: str | None = Field(default=None, alias="SIGIL_ALERT_EXIT_REASONS")
    api_token: SecretStr | None = Field(default=None, alias="SIGIL_API_TOKEN")
    api_act_token: SecretStr | None = Field(default=None, alias="SIGIL_API_ACT_TOKEN")
    variant_urls: Mapping[str, SecretStr] = Field(default_factory=dict, exclude=True)
    variant_alerts: Mapping[str, SecretStr] = Field(default_factory=dict, exclude=True)

    @field_validator("mode", mode="before")
    @classmethod
    def _draft_only(cls, value: Any) -> Any:
        if value not in (None, "draft"):
            raise ValueError(f"is '{value}', but Sigil trades on paper only: remove it or set it to draft")
        return value

    @field_validator("api_token", "api_act_token")
    @classmethod
    def _own_token(cls, value: SecretStr | None) -> SecretStr | None:
        text = "" if value is None else value.get_secret_value()
        if text in _EXAMPLE_TOKENS:
            raise ValueError("still is the example's; make one with: openssl rand -hex 32")
        if not (text.isascii() and text.isprintable() and text == text.strip()):
            raise ValueError("holds characters that no header carries as they are; make one with: openssl rand -hex 32")
        return value

    def database(self, variant: str) -> DatabaseAddress | None:
        """Return where the user keeps `variant`'s database, None when the embedded server is meant.

        Raises:
            UsageError: the variant is for research only and has no database.
            SettingsError: an address cannot be read; the message names the key, never the value.
        """
        name = database_name(variant)
        if own := self.variant_urls.get(variant_key(variant)):
            return _parse_url(own, variant_key(variant), name, path_names_database=True)
        if self.database_url is not None:
            return _parse_url(self.database_url, URL_KEY, name, path_names_database=False)
        if self.postgres_host:
            return DatabaseAddress(
                self.postgres_host,
                self.postgres_port,
                self.postgres_username,
                self.postgres_password,
                name,
                source="POSTGRES_HOST",
            )
        return None

    def redis(self) -> RedisAddress | None:
        """Return where the user's Redis is, None when the embedded one is meant.

        Raises:
            SettingsError: the address cannot be read; the message names the key, never the value.
        """
        return None if self.redis_url is None else parse_redis_url(self.redis_url)


def load_environment(project: Project) -> Environment:
    """Return the environment of `project`.

    Raises:
        SettingsError: a value is refused, `.env` cannot be read, or it holds a SIGIL_ key that nothing knows, or a line
            that says nothing.
    """
    _demand_file(project.env_file)
    try:
        _demand_lines(project.env_file)
        in_file = {k: v for k, v in dotenv_values(project.env_file).items() if v} if project.env_file.exists() else {}
        for key in in_file:
            if key.startswith("SIGIL_") and key not in _KNOWN_SIGIL_KEYS and not key.startswith(_KEYS_OF_VARIANTS):
                raise SettingsError(f"unknown key '{key}' in {project.env_file}; {hint(key, _KNOWN_SIGIL_KEYS)}")
        both = {**in_file, **{k: v for k, v in os.environ.items() if v}}
        urls = {k: SecretStr(v) for k, v in both.items() if k.startswith(f"{URL_KEY}_")}
        alerts = {k: SecretStr(v) for k, v in both.items() if k.startswith("SIGIL_ALERT_") and k not in ALERT_KEYS}
        return Environment(_env_file=project.env_file if in_file else None, variant_urls=urls, variant_alerts=alerts)
    except ValidationError as error:
        # Only names and reasons: the refused value may be a secret.
        first = error.errors(include_input=False)[0]
        key, message = str(first["loc"][0]), first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{key}: {message[0].lower()}{message[1:]} (from .env or the environment)") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"cannot read {project.env_file}: {getattr(error, 'strerror', None) or 'not UTF-8'}"
        ) from None


def _demand_file(path: Path) -> None:
    """Refuse what stands where `.env` should and is none: to go on without it would be to take other databases."""
    if path.is_dir():
        raise SettingsError(f"{path} is a folder; put a file of KEY=value lines in its place, or remove it")
    if path.is_symlink() and not path.exists():
        raise SettingsError(f"{path} leads to {path.readlink()}, which is not there; restore it, or remove the link")


def _demand_lines(path: Path) -> None:
    """Refuse a line without KEY=value, of which nothing is repeated: what was meant may be an address or a secret."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for found in parse_stream(file):
            if found.error or (found.key is not None and found.value is None):
                text = found.original.string
                line = found.original.line + text[: len(text) - len(text.lstrip())].count("\n")
                raise SettingsError(
                    f"line {line} of {path} is not KEY=value, so nothing can be made of it; correct it, or put a # before it"
                )


def environment_warnings(project: Project) -> list[str]:
    """Return what a person should know about `.env`: at present, that others on this machine can read it."""
    try:
        mode = project.env_file.stat().st_mode
    except OSError:
        return []
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        return [f"{project.env_file} holds secrets and others can read it; run: chmod 600 {project.env_file}"]
    return []


def database_name(variant: str) -> str:
    """Return the name of `variant`'s database: `sigil` for baseline, `sigil_<variant>` for the others.

    Raises:
        UsageError: the variant is for research only.
    """
    if variant in RESEARCH_ONLY:
        raise UsageError(f"variant '{variant}' is for research only and has no database; choose one that is traded")
    return "sigil" if variant == "baseline" else "sigil_" + re.sub(r"\W", "_", variant.lower())


def variant_key(variant: str, key: str = URL_KEY) -> str:
    """Return the name of `variant`'s own key: of the address of its database, or of another `key`."""
    return f"{key}_" + re.sub(r"\W", "_", variant.upper())


def _parse_url(secret: SecretStr, key: str, name: str, *, path_names_database: bool) -> DatabaseAddress:
    try:
        url = urlsplit(secret.get_secret_value())
        port = url.port or 5432
        options = dict(parse_qsl(url.query, strict_parsing=bool(url.query)))
    except ValueError:
        raise SettingsError(f"{key} is not an address; {_EXAMPLE}") from None
    host = options.get("host") or unquote(url.hostname or "")
    if url.scheme not in _SCHEMES or not host:
        raise SettingsError(f"{key} is not the address of a PostgreSQL server; {_EXAMPLE}")
    for option in options:
        if option not in _URL_OPTIONS:
            raise SettingsError(f"{key} has an unknown option '{option}'; {hint(option, _URL_OPTIONS)}")
    named = unquote(url.path.strip("/"))
    return DatabaseAddress(
        host,
        port,
        unquote(url.username or "postgres"),
        SecretStr(unquote(url.password or "")),
        (named if path_names_database else "") or name,
        source=key,
        options={k: v for k, v in options.items() if k != "host"},
    )


_EXAMPLE = "example: postgresql://user:password@127.0.0.1:5432"
