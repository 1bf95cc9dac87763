"""The state of Jesse's core after a minute, as bytes, so that a restart need not replay weeks.

A checkpoint is a convenience and never the truth: the recorded minutes are. One that was written by other versions, that
is damaged or that names a class it should not, is refused by `restore`, and the session replays its record from the
start. Start at `save` and `restore`.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import pickle
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import zstandard

from sigil_ext.bridge.host import Host
from sigil_ext.bridge.replay import PRIVATE_FUNCTIONS

# What Jesse's store consists of; `vars` holds what strategies share, a variant's session among it.
_STORE_PARTS = (
    "app", "orders", "closed_trades", "logs", "exchanges", "candles", "positions", "tickers", "trades", "orderbooks", "vars",
)  # fmt: skip
_PLAIN = {"builtins", "collections", "datetime", "numpy", "enum", "uuid", "copyreg", "_codecs", "functools", "types"}
# Series and frames, which strategies of users keep: their classes, and two functions that put them together.
_PANDAS = (
    "pandas.core.frame",
    "pandas.core.series",
    "pandas.core.indexes.",
    "pandas.core.internals.",
    "pandas._libs.tslibs.",
)
_PANDAS_FUNCTIONS = {("pandas._libs.internals", "_unpickle_block"), ("pandas.core.indexes.base", "_new_Index")}
_BUILTINS = {
    "set", "frozenset", "list", "dict", "tuple", "int", "float", "bool", "str", "bytes", "bytearray", "complex", "slice",
    "range", "object", "type", "getattr", "NoneType",
}  # fmt: skip


class CheckpointRefused(Exception):
    """The checkpoint cannot be used here; the record is replayed instead."""


class NotNow(Exception):
    """The state after this minute cannot be written down, that after one of the next can."""


def save(host: Host, known: Mapping[str, Any]) -> bytes:
    """Return the state of `host`, to be packed by `pack`, which may take its time in another thread.

    Args:
        known: objects that belong to the process and not to the state (stores, feeds), by name; the same names must be
            given to `restore`.
    """
    buffer = io.BytesIO()
    buffer.write(_versions())
    own = host.own_state()
    state = {
        "store": {part: getattr(host.jesse_store, part) for part in _STORE_PARTS},
        "strategies": [route.strategy for route in host.routes],
        "host": own,
    }
    _Pickler(buffer, _process_objects(host, known)).dump(state)
    return buffer.getvalue()


def pack(state: bytes) -> bytes:
    """Return what `save` gave as it is kept. Zstandard: a quarter of zlib's time for the same size."""
    # Without a checksum a damaged one unpacks to other prices.
    return zstandard.ZstdCompressor(level=1, write_checksum=True).compress(state)


def restore(host: Host, packed: bytes, known: Mapping[str, Any]) -> None:
    """Put a fresh `host` into the saved state.

    Raises:
        CheckpointRefused: it was written by other versions, or cannot be read. `host` is as it was before.
    """
    raw = _unpacked(packed)
    versions = _versions()
    if raw[: len(versions)] != versions:
        raise CheckpointRefused("written by other versions of Sigil, Jesse or Python")
    try:
        state = _Unpickler(io.BytesIO(raw[len(versions) :]), _process_objects(host, known)).load()
    except (
        pickle.UnpicklingError,
        EOFError,
        AttributeError,
        ImportError,
        IndexError,
        KeyError,
        TypeError,
        ValueError,
    ) as error:
        raise CheckpointRefused(f"unreadable: {error}") from error
    for part, value in state["store"].items():
        setattr(host.jesse_store, part, value)
    for route, strategy in zip(host.routes, state["strategies"], strict=True):
        route.strategy = strategy
    host.take_state(state["host"])


def _unpacked(packed: bytes) -> bytes:
    refused = "damaged, or packed by another version of Sigil"
    try:
        if not zstandard.get_frame_parameters(packed).has_checksum:
            raise CheckpointRefused(f"{refused}: it has no checksum")
        # More than the frame that it says it is: the mark of the checksum, or the length, was changed.
        return zstandard.ZstdDecompressor().decompress(packed, allow_extra_data=False)
    except (zstandard.ZstdError, MemoryError) as error:
        raise CheckpointRefused(f"{refused}: {error}") from None


def _process_objects(host: Host, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is named in a checkpoint instead of being written into it."""
    api = importlib.import_module("jesse.services.api")
    strategies = {f"strategy:{i}": type(route.strategy) for i, route in enumerate(host.routes)}
    return {"jesse.api": api.api, "jesse.store": host.jesse_store, **strategies, **known}


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, objects: Mapping[str, Any]) -> None:
        super().__init__(file, protocol=5)
        self._names = {id(value): name for name, value in objects.items()}

    def persistent_id(self, obj: Any) -> str | None:
        return self._names.get(id(obj))


class _Unpickler(pickle.Unpickler):
    """Reads what `_Pickler` wrote: data, and classes of Jesse, Sigil and the strategies' own modules; nothing that acts."""

    def __init__(self, file: io.BytesIO, objects: Mapping[str, Any]) -> None:
        super().__init__(file)
        self._objects = objects
        self._modules = {
            value.__module__.partition(".")[0] for value in objects.values() if isinstance(value, type)
        } | {"jesse", "sigil_ext", "strategies"}

    def persistent_load(self, pid: Any) -> Any:
        if pid not in self._objects:
            raise pickle.UnpicklingError(f"names '{pid}', which is not here")
        return self._objects[pid]

    def find_class(self, module: str, name: str) -> Any:
        top = module.partition(".")[0]
        if module == "builtins" and name not in _BUILTINS:
            raise pickle.UnpicklingError(f"names {module}.{name}")
        pandas = module.startswith(_PANDAS) or (module, name) in _PANDAS_FUNCTIONS
        if top not in _PLAIN and top not in self._modules and not pandas:
            raise pickle.UnpicklingError(f"names {module}.{name}")
        found = super().find_class(module, name)
        if top not in _PLAIN and not isinstance(found, type) and (module, name) not in _PANDAS_FUNCTIONS:
            raise pickle.UnpicklingError(f"names {module}.{name}, which is not a class")
        return found


@cache
def _versions() -> bytes:
    """Return a fingerprint of everything that the meaning of a checkpoint depends on: Sigil's own code among it."""
    digest = hashlib.sha256(sys.version.encode())
    for package in ("jesse", "numpy", "peewee"):
        digest.update(f"{package} {importlib.import_module('importlib.metadata').version(package)}".encode())
    digest.update(repr(sorted(PRIVATE_FUNCTIONS.items())).encode())
    root = Path(__file__).resolve().parents[1]
    for room in ("bridge", "rules"):
        for file in sorted((root / room).glob("*.py")):
            digest.update(file.read_bytes())
    return digest.digest()
