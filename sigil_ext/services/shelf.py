"""The shelf: results of research as files under storage/research/<kind>/, for the command line and the panel.

An entry is up to three files: `<id>.json` (the document), `<id>.html` (its page) and `<id>.card` (what a list shows, small
JSON, written last: without it there is no entry). Nothing here knows what a document holds. Start at `put`.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sigil_ext.errors import SigilError, UsageError, hint
from sigil_ext.research.backtest_stats import json_safe
from sigil_ext.settings.files import write_whole
from sigil_ext.settings.project import Project

KINDS = ("backtest", "grid", "walkforward", "diagnosis", "comparison")
_ID = re.compile(rf"(?P<kind>{'|'.join(KINDS)})-(?P<at>[0-9]{{8}}T[0-9]{{6}}Z)-[0-9a-f]{{4}}")
_STAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class Shelved:
    """An entry of the shelf. `problem` says in a sentence why its files cannot be read, None where they can."""

    id: str
    kind: str
    at: datetime
    title: str
    file: Path
    page: Path | None
    problem: str | None = None


def put(
    project: Project, kind: str, document: Mapping[str, Any], *, title: str, page: str | None, now: datetime
) -> Shelved:
    """Keep `document` (JSON-able; NaN becomes null) and `page` (HTML) and return the entry; it appears whole or not at all.

    Args:
        kind: one of `KINDS`. now: an aware time; the id carries it to the second, in UTC.
    Raises:
        UsageError: storage cannot be written. ValueError: no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"no kind '{kind}' of research result; {hint(kind, KINDS)}")
    at = now.astimezone(UTC).replace(microsecond=0)
    folder = _folder(project, kind)
    entry_id = f"{kind}-{at.strftime(_STAMP)}-{secrets.token_hex(2)}"
    while (folder / f"{entry_id}.card").exists():
        entry_id = f"{kind}-{at.strftime(_STAMP)}-{secrets.token_hex(2)}"
    file, html = folder / f"{entry_id}.json", folder / f"{entry_id}.html"
    write_whole(file, json.dumps(json_safe(dict(document)), allow_nan=False, ensure_ascii=False), "the result")
    if page is not None:
        write_whole(html, page, "the page")
    write_whole(folder / f"{entry_id}.card", json.dumps({"title": title}, ensure_ascii=False), "the result")
    return Shelved(entry_id, kind, at, title, file, None if page is None else html)


def told(project: Project, keep: Callable[[], Shelved]) -> str:
    """Call `keep` and return what to say of it: work that took hours is not lost to a full disk."""
    try:
        return f"kept as {keep().id}"
    except UsageError as error:
        cause = error.__cause__
        why = (cause.strerror or str(cause)).lower() if isinstance(cause, OSError) else str(error)
        return (
            f"not kept: {project.storage / 'research'} cannot be written ({why}); the panel will not show this result"
        )


def listing(project: Project, kind: str | None = None) -> list[Shelved]:
    """Return the entries, of one kind or of all, newest first. One whose files are broken is there with its `problem`.

    Raises:
        UsageError: no such kind.
    """
    if kind is not None and kind not in KINDS:
        raise UsageError(f"no kind '{kind}' of research result; {hint(kind, KINDS)}")
    entries = [
        _entry(card)
        for name in (KINDS if kind is None else (kind,))
        for card in _folder(project, name).glob("*.card")
        if _ID.fullmatch(card.stem) and card.stem.startswith(f"{name}-")
    ]
    return sorted(entries, key=lambda e: (e.at, e.id), reverse=True)


def load(project: Project, entry_id: str) -> dict[str, Any]:
    """Return the document of an entry.

    Raises:
        UsageError: `entry_id` is none, or there is no such entry. SigilError: its file cannot be read.
    """
    file = _existing(project, entry_id).with_suffix(".json")
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SigilError(f"{file} cannot be read: {(error.strerror or str(error)).lower()}") from error
    except ValueError as error:
        raise SigilError(f"{file} is not JSON ({error}); make the result again, and remove {entry_id}.*") from error
    if not isinstance(document, dict):
        raise SigilError(f"{file} holds no result; make it again, and remove {entry_id}.*")
    return document


def page_of(project: Project, entry_id: str) -> Path | None:
    """Return the page of an entry, None where it has none.

    Raises:
        UsageError: `entry_id` is none, or there is no such entry.
    """
    page = _existing(project, entry_id).with_suffix(".html")
    return page if page.is_file() else None


def _folder(project: Project, kind: str) -> Path:
    return project.storage / "research" / kind


def _existing(project: Project, entry_id: str) -> Path:
    """Return the card of an entry. Only an id of the known form gets as far as the disk."""
    match = _ID.fullmatch(entry_id)
    if match is None:
        raise UsageError(f"'{entry_id[:80]}' is no id of a research result; they look like grid-20261121T101500Z-ab12")
    card = _folder(project, match["kind"]) / f"{entry_id}.card"
    if not card.is_file():
        raise UsageError(
            f"no research result '{entry_id}'; {hint(entry_id, [e.id for e in listing(project, match['kind'])])}"
        )
    return card


def _entry(card: Path) -> Shelved:
    match = _ID.fullmatch(card.stem)
    assert match is not None
    at, problem, title = _instant(match["at"]), None, card.stem
    file, page = card.with_suffix(".json"), card.with_suffix(".html")
    if not file.is_file():
        problem = f"{file} is missing"
    try:
        title = str(json.loads(card.read_text(encoding="utf-8"))["title"])
    except OSError as error:
        problem = f"{card} cannot be read: {(error.strerror or str(error)).lower()}"
    except (ValueError, KeyError, TypeError):
        problem = f"{card} is broken"
    return Shelved(card.stem, match["kind"], at, title, file, page if page.is_file() else None, problem)


def _instant(text: str) -> datetime:
    try:
        return datetime.strptime(text, _STAMP).replace(tzinfo=UTC)
    except ValueError:  # digits that are no date: somebody renamed a file
        return datetime.fromtimestamp(0, UTC)
