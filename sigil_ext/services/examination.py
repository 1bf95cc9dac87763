"""What the checks of `doctor.py` share: the line that one finds, and what they look at. Start at `Line`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sigil_ext.settings.environment import Environment
from sigil_ext.settings.project import Project

Level = Literal["ok", "note", "problem"]
CLOCK_NOTED_S = 2.0


@dataclass(frozen=True, slots=True)
class Line:
    """What one check found; `to_do` is empty where nothing has to be done. Only a problem needs something."""

    check: str
    level: Level
    found: str
    to_do: str = ""


@dataclass(slots=True)
class Examination:
    """What the checks share. `live` is set by the databases: whether a variant's session follows a live feed."""

    project: Project
    exchange: str
    exchange_url: str | None
    offline: bool
    environment: Environment | None = None
    refused: str = ""
    live: list[str] = field(default_factory=list)
