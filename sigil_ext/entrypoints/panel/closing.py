"""Closing positions in a process of its own: a session that does not run is brought to life for it, and whatever that
loads must not live in the server. Start at `close_apart`; the process itself is `main`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from dataclasses import asdict, dataclass

from sigil_ext.errors import SigilError, UsageError
from sigil_ext.rules.types import ExitReason
from sigil_ext.settings.project import Project

MODULE = "sigil_ext.entrypoints.panel.closing"
PATIENCE_S = 120.0
COMPLAINTS_KEPT = 4000  # characters
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """What to close and who wants it; without a symbol everything."""

    variant: str
    symbol: str | None
    exit_reason: ExitReason
    reason: str
    actor: str
    patience_s: float = PATIENCE_S


async def close_apart(project: Project, order: Order) -> str:
    """Close what `order` says and return what came of it.

    Raises:
        UsageError: nothing of that symbol is open, or no session manages it. SigilError: it was not done in time.
    """
    environment = dict(os.environ)
    if project.storage.parent == project.root:
        environment["SIGIL_HOME"] = str(project.root)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", MODULE, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        out, complaints = await process.communicate(json.dumps(asdict(order)).encode())
    except asyncio.CancelledError:
        if process.returncode is None:
            process.terminate()  # the request to the session stays and is done when it can be
            await process.wait()
        raise
    lines = out.decode(errors="replace").strip().splitlines()
    told = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    if "outcome" in told:
        return str(told["outcome"])
    if "usage" in told:
        raise UsageError(str(told["usage"]))
    if "failed" not in told:
        _log.error(
            "the process that closes positions of %s ended with status %s and no answer: %s",
            order.variant, process.returncode, complaints.decode(errors="replace")[-COMPLAINTS_KEPT:].strip() or "not a word",
        )  # fmt: skip
    raise ClosingFailed(str(told.get("failed") or "the positions could not be closed; the server's log says why"))


class ClosingFailed(SigilError):
    """It was asked for and is not done, or not verified; the sentence says what stays open."""


def main() -> None:
    """Read an order from stdin, carry it out, print what came of it as the last line."""
    from sigil_ext.services.closing import close
    from sigil_ext.services.protections import acting_as

    order = Order(**json.loads(sys.stdin.read()))
    try:
        with acting_as(order.actor):
            done = close(
                order.variant, order.reason, symbol=order.symbol, exit_reason=order.exit_reason,
                patience_s=order.patience_s,
            )  # fmt: skip
        told = {"outcome": f"{done.outcome}; {done.still_open} still open"}
    except UsageError as error:
        told = {"usage": str(error)}
    except SigilError as error:
        told = {"failed": str(error)}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
