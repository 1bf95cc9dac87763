"""What two sides' settings have to do with their difference: which keys differ, and what that does not isolate. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MULTIPLIER = "hard_stop.multiplier"
MOST_NAMED = 6


def explain_settings(a: Mapping[str, Any], b: Mapping[str, Any], name_a: str, name_b: str) -> dict[str, Any]:
    """Return the differing keys (`key`, `a`, `b`), whether several are confounded, and what to make of it.

    `posture` holds the differing keys beside the stop's multiplier. `confounded`: more than one key differs, so that the
    difference cannot be laid to any of them.
    """
    if not a or not b:
        unknown = " and ".join(name for name, settings in ((name_a, a), (name_b, b)) if not settings)
        sentence = f"The settings of {unknown} are not known: what makes the difference cannot be said."
        return {"differing": [], "posture": [], "confounded": None, "sentence": sentence}
    rows = [
        {"key": key, "a": a.get(key), "b": b.get(key)}
        for key in dict.fromkeys((*a, *b))
        if a.get(key) != b.get(key) or (key in a) != (key in b)
    ]
    keys = [str(row["key"]) for row in rows]
    posture = [key for key in keys if key != MULTIPLIER]
    return {
        "differing": rows,
        "posture": posture,
        "confounded": len(keys) > 1,
        "sentence": _sentence(rows, keys, posture),
    }


def _sentence(rows: Sequence[Mapping[str, Any]], keys: Sequence[str], posture: Sequence[str]) -> str:
    if not keys:
        return "The settings are the same."
    if len(keys) == 1:
        return f"Only {keys[0]} differs ({rows[0]['a']} and {rows[0]['b']})."
    if MULTIPLIER in keys:
        return (
            f"Posture and multiplier differ at once: {MULTIPLIER} and {_listed(posture)}. The difference is that of all "
            f"{len(keys)} keys together and isolates neither; change one key at a time: sigil compare V V:{MULTIPLIER}=X"
        )
    return f"{len(keys)} keys differ at once: {_listed(keys)}. The difference is that of all together and isolates none of them."


def _listed(keys: Sequence[str]) -> str:
    shown = ", ".join(keys[:MOST_NAMED])
    return shown if len(keys) <= MOST_NAMED else f"{shown} and {len(keys) - MOST_NAMED} more"
