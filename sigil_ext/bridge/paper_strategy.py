"""A strategy of the user's own as a paper session knows it: where its code is, and the account it trades on.

Start at `find_strategy`.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sigil_ext.bridge.simulate import StrategyRun, code_of, load_strategy
from sigil_ext.errors import UsageError
from sigil_ext.settings.models import TIMEFRAME_MINUTES


@dataclass(frozen=True, slots=True)
class PaperStrategy:
    """A strategy under the name of its session. `folder`: where its module is imported from; `code`: of its file."""

    name: str
    run: StrategyRun
    folder: str
    code: str

    research_only = False

    @property
    def signal_minutes(self) -> int:
        """Return how long a bar of the routes lasts."""
        return TIMEFRAME_MINUTES[self.run.timeframe]

    @property
    def longest_minutes(self) -> int:
        """Return how long the longest bar lasts that it reads."""
        return max(TIMEFRAME_MINUTES[t] for t in (self.run.timeframe, *self.run.data_timeframes))

    def document(self) -> dict[str, Any]:
        """Return what the database keeps of it."""
        return {
            **asdict(self.run),
            "data_timeframes": list(self.run.data_timeframes),
            "folder": self.folder,
            "code": self.code,
        }


def from_document(name: str, document: Mapping[str, Any]) -> PaperStrategy:
    """Return the strategy of a recorded session."""
    run = StrategyRun(
        document["path"], document["timeframe"], document["starting_balance"], document["cost_rate"], document["market"],
        tuple(document["data_timeframes"]), document["hyperparameters"],
    )  # fmt: skip
    return PaperStrategy(name, run, document["folder"], document["code"])


def find_strategy(name: str, run: StrategyRun, folder: str) -> PaperStrategy:
    """Return the strategy that `run` names, imported from `folder`. Imports Jesse: not within a project folder.

    Raises:
        UsageError: it cannot be loaded, is no Jesse strategy, or is one of the variants.
    """
    reachable(folder)
    loaded = load_strategy(run.path)
    from sigil_ext.bridge.strategy import VariantStrategy

    if issubclass(loaded, VariantStrategy):
        raise UsageError(
            f"--strategy '{run.path}' is a variant; run it with: sigil run paper --variant {loaded.variant}"
        )
    if inspect.isabstract(loaded):
        missing = " and no ".join(sorted(getattr(loaded, "__abstractmethods__", ())))
        raise UsageError(f"--strategy '{run.path}' has no {missing}")
    file = Path(str(sys.modules[loaded.__module__].__file__)).resolve()
    depth = len(loaded.__module__.split(".")) + (file.name == "__init__.py")
    return PaperStrategy(name, run, str(file.parents[depth - 1]), code_of(loaded))


def reachable(folder: str) -> None:
    """Let modules of `folder` be imported, before all others: it was the current folder when the session was begun."""
    if folder not in sys.path:
        sys.path.insert(0, folder)


def load_fresh(what: PaperStrategy) -> type:
    """Return the class, its module imported anew: what an earlier session of this process left in it is gone."""
    reachable(what.folder)
    sys.modules.pop(what.run.path.partition(":")[0], None)
    importlib.invalidate_caches()
    return load_strategy(what.run.path)
