"""What every answer of the API looks like: {"data": ..., "meta": {"timestamp", "mode", "version"}}."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sigil_ext import __version__

API_VERSION = "v1"


def meta(**more: Any) -> dict[str, Any]:
    """Return the meta part: when (UTC), paper always, which version; and whatever else belongs to this answer."""
    return {"timestamp": datetime.now(UTC).isoformat(), "mode": "paper", "version": __version__, **more}
