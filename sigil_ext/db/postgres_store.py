"""The store that survives: one variant's memory in its PostgreSQL database.

Keeps the same contract as `memory_store.MemoryStore` (rules/ports.py), under the same tests. Start at `enter`, the entry
transaction.

Locks, always in this order, all free at the end of the transaction: the symbol's (an entry only tries it; whatever
changes the symbol's protection waits for it), then the variant's (entries, breaker, pause).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any

import psycopg2
from psycopg2.extensions import cursor
from psycopg2.extras import Json, execute_batch, execute_values

from sigil_ext.db.common import (
    SYSTEM,
    ActKind,
    EventKind,
    after_exit,
    averaged,
    demand_reason,
    refusal,
    unknown_position,
)
from sigil_ext.db.connection import Database
from sigil_ext.db.queries import load
from sigil_ext.errors import UsageError
from sigil_ext.rules.ports import BanPolicy
from sigil_ext.rules.protections import lifted, with_ban, with_cooldown
from sigil_ext.rules.symbols import to_exchange, to_jesse
from sigil_ext.rules.types import (
    Breaker,
    Entered,
    Entry,
    Exit,
    ExitReason,
    OpenPosition,
    OperatorAct,
    Protection,
    ProtectionEvent,
    RefusalCount,
    RefusalReason,
    Refused,
    Signal,
    UniverseRow,
    UniverseScan,
)

_POSITIONS, _PROTECTIONS, _STATE, _RECORD = (load(s) for s in ("positions", "protections", "state", "record"))


class PostgresStore:
    """One variant's memory in a database. Every method is one transaction.

    Each raises DatabaseUnavailable when the server is lost.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    @property
    def variant(self) -> str:
        return self.database.variant

    # --- what the guard reads -------------------------------------------------------------------------------------

    def breaker(self) -> Breaker:
        with self.database.transaction() as cur:
            return _breaker(cur)

    def protection(self, symbol: str) -> Protection | None:
        with self.database.transaction() as cur:
            return _protection(cur, symbol)

    def protections(self) -> list[Protection]:
        with self.database.transaction() as cur:
            cur.execute(_PROTECTIONS["all"])
            return sorted((_read_protection(row) for row in cur.fetchall()), key=lambda p: p.symbol)

    def open_position(self, symbol: str) -> OpenPosition | None:
        with self.database.transaction() as cur:
            return self._open_on(cur, symbol)

    def open_positions(self) -> list[OpenPosition]:
        with self.database.transaction() as cur:
            cur.execute(_POSITIONS["all_open"], {"variant": self.variant})
            return [_read_position(row) for row in cur.fetchall()]

    def _open_on(self, cur: cursor, symbol: str) -> OpenPosition | None:
        cur.execute(_POSITIONS["open_on_symbol"], {"symbol": row_symbol(symbol), "variant": self.variant})
        row = cur.fetchone()
        return _read_position(row) if row else None

    # --- positions ------------------------------------------------------------------------------------------------

    def enter(self, entry: Entry, *, stacking: bool = False) -> Entered | Refused:
        try:
            with self.database.transaction(savepoint=True) as cur:
                return self._enter(cur, entry, stacking)
        except psycopg2.errors.UniqueViolation:
            # The last line of defence: a writer that takes no lock, such as the earlier bot, was quicker.
            return Refused(entry.symbol, entry.at, "position_open", "the unique index refused a second open row")
        except psycopg2.errors.LockNotAvailable:
            return Refused(entry.symbol, entry.at, "entry_in_progress", "waited too long for another writer")

    def _enter(self, cur: cursor, entry: Entry, stacking: bool) -> Entered | Refused:
        cur.execute(_STATE["try_lock"], {"key": lock_key(self.variant, row_symbol(entry.symbol))})
        if not _one(cur)[0]:
            return Refused(entry.symbol, entry.at, "entry_in_progress")
        # One entry of a variant at a time from here on, so that two symbols cannot both take the last free place.
        self._lock_variant(cur)
        current = _protection(cur, entry.symbol)
        cur.execute(_POSITIONS["all_open"], {"variant": self.variant})
        held = [_read_position(row) for row in cur.fetchall()]
        occupied = not stacking and any(p.symbol == entry.symbol for p in held)
        refused = refusal(entry, _breaker(cur), current, occupied=occupied, open_positions=len(held))
        if refused:
            return refused
        return Entered(self._insert_entry(cur, entry, current))

    def _insert_entry(self, cur: cursor, entry: Entry, current: Protection | None) -> int:
        cur.execute(
            _POSITIONS["insert"],
            {
                "symbol": row_symbol(entry.symbol),
                "variant": self.variant,
                "at": entry.at,
                "price": entry.price,
                "qty": entry.qty,
                "notional_usd": entry.notional_usd,
                "stop_price": entry.stop_price,
                "stop_pct": entry.stop_pct,
                "atr_at_entry": entry.atr_at_entry,
                "risk_usd": entry.risk_usd,
                "cap_bound": entry.cap_bound,
                "universe_id": entry.universe_id,
            },
        )
        position_id = int(_one(cur)[0])
        if entry.cooldown_until is not None:
            after = with_cooldown(current, entry.symbol, until=entry.cooldown_until, at=entry.at)
            self._keep(cur, "protect", after, "cooldown", entry.at, SYSTEM, "position opened")
        if entry.signal is not None:
            _insert_signal(cur, entry.signal, acted=True, reject_reason=None)
        return position_id

    def increase(self, position_id: int, *, at: datetime, price: float, qty: float, stop_price: float) -> None:
        with self.database.transaction() as cur:
            cur.execute(_POSITIONS["lock_micro"], {"id": position_id, "variant": self.variant})
            row = cur.fetchone()
            if row is None or row[0] != "open":
                raise unknown_position(position_id, self.variant)
            total, average = averaged(row[2], row[3], qty, price)
            cur.execute(
                _POSITIONS["increase"],
                {
                    "id": position_id,
                    "qty": total,
                    "entry_price": average,
                    "stop_price": stop_price,
                    "added_usd": qty * price,
                    "at": at,
                },
            )

    def move_stop(self, position_id: int, *, at: datetime, stop_price: float, high_water: float) -> None:
        with self.database.transaction() as cur:
            cur.execute(_POSITIONS["lock_micro"], {"id": position_id, "variant": self.variant})
            if cur.fetchone() is None:
                raise unknown_position(position_id, self.variant)
            values = {"id": position_id, "at": at, "stop_price": stop_price, "high_water": high_water}
            cur.execute(_POSITIONS["move_stop"], values)

    def move_stops(self, moves: Sequence[tuple[int, datetime, float, float]]) -> None:
        """Note many moves at once, in their order: position, when, stop price, high water. Closed ones are passed over."""
        rows = [{"id": number, "at": at, "stop_price": stop, "high_water": high} for number, at, stop, high in moves]
        with self.database.transaction() as cur:
            execute_batch(cur, _POSITIONS["move_stop"], rows)

    def close(self, exit: Exit, ban: BanPolicy, cooldown_until: datetime | None = None) -> Protection | None:
        with self.database.transaction() as cur:
            self._lock_symbol(cur, exit.symbol)
            current = _protection(cur, exit.symbol)
            if not self._close_row(cur, exit):
                return current
            for kind, reason, after in after_exit(current, exit, ban, cooldown_until):
                query = "protect" if kind == "cooldown" else "count_violation"
                current = self._keep(cur, query, after, kind, exit.at, SYSTEM, reason)
            return current

    def _close_row(self, cur: cursor, exit: Exit) -> bool:
        """Close the row and return True; False if it was closed before. Numbers of the two tables may be equal."""
        values = {
            "id": exit.position_id,
            "symbol": row_symbol(exit.symbol),
            "variant": self.variant,
            "price": exit.price,
            "at": exit.at,
            "reason": exit.reason,
            "fees_usd": exit.fees_usd,
            "pnl_usd": exit.pnl_usd,
        }
        for query in ("close_micro", "close_paper"):
            cur.execute(_POSITIONS[query], values)
            if cur.rowcount:
                return True
        cur.execute(_POSITIONS["exists"], values)
        if not _one(cur)[0]:
            raise unknown_position(exit.position_id, self.variant)
        return False

    def close_found(
        self, position: OpenPosition, *, at: datetime, price: float | None, reason: ExitReason, fees_usd: float | None,
        pnl_usd: float | None,
    ) -> bool:  # fmt: skip
        """Close the row of a position that no session manages; its symbol's protection stays. False: it was closed before.

        Args:
            price, fees_usd, pnl_usd: None where no price is known; the row then says neither price nor P&L.
        """
        values = {
            "id": position.id, "symbol": row_symbol(position.symbol), "variant": self.variant, "price": price, "at": at,
            "reason": reason, "fees_usd": fees_usd or 0.0, "pnl_usd": pnl_usd,
        }  # fmt: skip
        with self.database.transaction() as cur:
            cur.execute(_POSITIONS["close_micro" if position.table == "micro_positions" else "close_paper"], values)
            return bool(cur.rowcount)

    def hold(self, symbol: str) -> None:
        """Keep others from changing the symbol's protection or entering it until the caller's transaction is over."""
        with self.database.transaction() as cur:
            self._lock_symbol(cur, symbol)

    def note_excursions(self, position_id: int, mae_r: float, mfe_r: float) -> None:
        """Note how far a closed position went against its entry and in its favour, in R."""
        with self.database.transaction() as cur:
            values = {"id": position_id, "variant": self.variant, "mae_r": mae_r, "mfe_r": mfe_r}
            cur.execute(_POSITIONS["note_excursions"], values)

    def note_downtime(self, position_id: int) -> None:
        """Mark a position that was entered or left on candles fetched after an outage."""
        with self.database.transaction() as cur:
            cur.execute(_POSITIONS["note_downtime"], {"id": position_id, "variant": self.variant})

    # --- protections ----------------------------------------------------------------------------------------------

    def add_cooldown(self, symbol: str, *, until: datetime, at: datetime, actor: str, reason: str) -> Protection:
        with self.database.transaction() as cur:
            self._lock_symbol(cur, symbol)
            after = with_cooldown(_protection(cur, symbol), symbol, until=until, at=at)
            return self._act(cur, "cooldown", "protect", after, "manual_cooldown", at, actor, reason.strip())

    def add_ban(self, symbol: str, *, until: datetime, at: datetime, actor: str, reason: str) -> Protection:
        with self.database.transaction() as cur:
            self._lock_symbol(cur, symbol)
            after = with_ban(_protection(cur, symbol), symbol, until=until, at=at)
            return self._act(cur, "ban", "protect", after, "manual_ban", at, actor, reason.strip())

    def lift(self, symbol: str, *, at: datetime, actor: str, reason: str) -> Protection:
        reason = demand_reason(reason, "a lift")
        with self.database.transaction() as cur:
            self._lock_symbol(cur, symbol)
            after = lifted(_protection(cur, symbol), symbol, at=at)
            return self._act(cur, "lift", "lift", after, "lift", at, actor, reason)

    def protection_history(self, symbol: str) -> Sequence[ProtectionEvent]:
        with self.database.transaction() as cur:
            cur.execute(_PROTECTIONS["events"], {"symbol": row_symbol(symbol)})
            return tuple(ProtectionEvent(store_symbol(row[0]), *row[1:]) for row in cur.fetchall())

    def _act(
        self,
        cur: cursor,
        act: ActKind,
        query: str,
        after: Protection,
        kind: EventKind,
        at: datetime,
        actor: str,
        reason: str,
    ) -> Protection:
        _insert_act(cur, OperatorAct(at, actor, act, after.symbol, reason))
        return self._keep(cur, query, after, kind, at, actor, reason)

    def _keep(
        self, cur: cursor, query: str, after: Protection, kind: EventKind, at: datetime, actor: str, reason: str
    ) -> Protection:
        """Write a protection and its event; return it as it stands then, which may be longer than asked for."""
        symbol = row_symbol(after.symbol)
        cur.execute(
            _PROTECTIONS[query],
            {
                "symbol": symbol,
                "expires_at": after.expires_at,
                "ban_until": after.ban_until,
                "violation_count": after.violation_count,
                "created_at": after.created_at or at,
                "last_violation_at": after.last_violation_at,
                "reason": reason or after.reason,
                "at": at,
            },
        )
        kept = _read_protection(_one(cur))
        cur.execute(
            _PROTECTIONS["insert_event"],
            {
                "symbol": symbol,
                "at": at,
                "kind": kind,
                "actor": actor,
                "reason": reason,
                "expires_at": kept.expires_at,
                "ban_until": kept.ban_until,
                "violation_count": kept.violation_count,
            },
        )
        return kept

    def _lock_symbol(self, cur: cursor, symbol: str) -> None:
        cur.execute(_STATE["lock"], {"key": lock_key(self.variant, row_symbol(symbol))})

    def _lock_variant(self, cur: cursor) -> None:
        cur.execute(_STATE["lock"], {"key": lock_key(self.variant)})

    # --- breaker --------------------------------------------------------------------------------------------------

    def trip(self, *, at: datetime, actor: str, reason: str) -> Breaker:
        reason = demand_reason(reason, "a trip")
        with self.database.transaction() as cur:
            now = self._judge(cur, "trip", at, actor, reason)
            if now.tripped:
                return now
            _write_state(cur, "breaker", at, tripped=True, reason=reason, at=at.isoformat(), by=actor)
            return replace(now, tripped=True, reason=reason, tripped_at=at, tripped_by=actor)

    def reset(self, *, at: datetime, actor: str, reason: str) -> Breaker:
        reason = demand_reason(reason, "a reset")
        with self.database.transaction() as cur:
            now = self._judge(cur, "reset", at, actor, reason)
            _write_state(cur, "breaker", at, tripped=False)
            return replace(now, tripped=False, reason=None, tripped_at=None, tripped_by=None)

    def pause(self, *, at: datetime, actor: str, reason: str) -> Breaker:
        reason = demand_reason(reason, "a pause")
        with self.database.transaction() as cur:
            now = self._judge(cur, "pause", at, actor, reason)
            if now.paused:
                return now
            _write_state(cur, "pause", at, paused=True, reason=reason, at=at.isoformat(), by=actor)
            return replace(now, paused=True, pause_reason=reason, paused_at=at, paused_by=actor)

    def resume(self, *, at: datetime, actor: str, reason: str) -> Breaker:
        reason = demand_reason(reason, "a resume")
        with self.database.transaction() as cur:
            now = self._judge(cur, "resume", at, actor, reason)
            _write_state(cur, "pause", at, paused=False)
            return replace(now, paused=False, pause_reason=None, paused_at=None, paused_by=None)

    def acts(self) -> Sequence[OperatorAct]:
        with self.database.transaction() as cur:
            cur.execute(_STATE["acts"])
            return tuple(
                OperatorAct(at, actor, act, store_symbol(symbol) if symbol else None, reason)
                for at, actor, act, symbol, reason in cur.fetchall()
            )

    def _judge(self, cur: cursor, act: ActKind, at: datetime, actor: str, reason: str) -> Breaker:
        self._lock_variant(cur)
        _insert_act(cur, OperatorAct(at, actor, act, None, reason))
        return _breaker(cur)

    # --- the record -----------------------------------------------------------------------------------------------

    def record_signal(self, signal: Signal, *, acted: bool, reject_reason: str | None) -> None:
        with self.database.transaction() as cur:
            _insert_signal(cur, signal, acted=acted, reject_reason=reject_reason)

    def record_signals(self, signals: Sequence[tuple[Signal, bool, str | None]]) -> None:
        """Record many at once, in their order: the signal, whether it was acted upon, why it was not."""
        with self.database.transaction() as cur:
            execute_batch(cur, _RECORD["insert_signal"], [_signal_row(*signal) for signal in signals])

    def signals(self, since: datetime | None = None) -> list[tuple[Signal, bool, str | None]]:
        with self.database.transaction() as cur:
            cur.execute(_RECORD["signals"], {"since": since})
            return [_read_signal(row) for row in cur.fetchall()]

    def count_refusal(self, symbol: str, reason: RefusalReason, *, at: datetime, signal: bool) -> None:
        values = {"symbol": row_symbol(symbol), "reason": reason, "at": at, "signals": int(signal)}
        with self.database.transaction() as cur:
            cur.execute(_RECORD["count_refusal"], values)

    def count_refusals(self, counts: Sequence[RefusalCount]) -> None:
        """Add many counts at once; one a symbol and reason."""
        rows = [(row_symbol(c.symbol), c.reason, c.bars, c.signals, c.first_at, c.last_at) for c in counts]
        with self.database.transaction() as cur:
            execute_values(cur, _RECORD["count_refusals"], rows, page_size=1000)

    def refusals(self) -> list[RefusalCount]:
        with self.database.transaction() as cur:
            cur.execute(_RECORD["refusals"])
            counts = [RefusalCount(store_symbol(row[0]), *row[1:]) for row in cur.fetchall()]
        return sorted(counts, key=lambda c: (c.symbol, c.reason))

    def save_scan(self, scan: UniverseScan) -> int:
        with self.database.transaction() as cur:
            cur.execute(_RECORD["insert_scan"], {"at": scan.at})
            number = int(_one(cur)[0])
            rows = [
                (number, place, row_symbol(r.symbol), r.accepted, r.reason, r.score, r.rank, Json(_finite(r.measures)))
                for place, r in enumerate(scan.rows)
            ]
            execute_values(cur, _RECORD["insert_scan_rows"], rows, page_size=1000)
            return number

    def scan(self, universe_id: int) -> UniverseScan | None:
        with self.database.transaction() as cur:
            return _scan(cur, universe_id)

    def last_scan(self) -> tuple[int, UniverseScan] | None:
        with self.database.transaction() as cur:
            cur.execute(_RECORD["last_scan_id"])
            number = _one(cur)[0]
            found = _scan(cur, number) if number is not None else None
            return (number, found) if found else None

    def known_symbols(self) -> list[str]:
        with self.database.transaction() as cur:
            cur.execute(_RECORD["known_symbols"])
            return sorted(store_symbol(row[0]) for row in cur.fetchall())


def lock_key(variant: str, symbol: str = "") -> int:
    """Return the signed 64-bit advisory lock key of a variant's symbol, or of the variant: the same in every process."""
    digest = hashlib.blake2b(f"{variant}\0{symbol}".encode(), digest_size=8, person=b"sigil").digest()
    return int.from_bytes(digest, "big", signed=True)


@lru_cache(maxsize=4096)
def row_symbol(symbol: str) -> str:
    """Return how rows name `symbol`: TSTUSDT, or with its dash where the short name would be read as another symbol.

    Raises:
        UsageError: it is no symbol.
    """
    try:
        name, short = to_jesse(symbol), to_exchange(symbol)
    except ValueError as error:
        raise UsageError(str(error)) from None
    try:
        return short if to_jesse(short) == name else name
    except ValueError:
        return name


@lru_cache(maxsize=4096)
def store_symbol(name: str) -> str:
    """Return TST-USDT for a row's TSTUSDT; a name that cannot be cut is left as the row has it."""
    try:
        return to_jesse(name)
    except ValueError:
        return name


def _one(cur: cursor) -> tuple[Any, ...]:
    row = cur.fetchone()
    assert row is not None
    return row


def _breaker(cur: cursor) -> Breaker:
    cur.execute(_STATE["read"])
    # The earlier bot may have left something else under these names: what is not ours to read counts by its truth.
    found: dict[str, dict[str, Any]] = {
        key: value if isinstance(value, dict) else {"tripped": bool(value), "paused": bool(value)}
        for key, value in cur.fetchall()
    }
    breaker, pause = found.get("breaker", {}), found.get("pause", {})
    return Breaker(
        tripped=bool(breaker.get("tripped")),
        reason=breaker.get("reason"),
        tripped_at=_time(breaker.get("at")),
        tripped_by=breaker.get("by"),
        paused=bool(pause.get("paused")),
        pause_reason=pause.get("reason"),
        paused_at=_time(pause.get("at")),
        paused_by=pause.get("by"),
    )


def _write_state(cur: cursor, key: str, written_at: datetime, **value: Any) -> None:
    cur.execute(_STATE["write"], {"key": key, "value": Json(value), "at": written_at})


def _insert_act(cur: cursor, act: OperatorAct) -> None:
    cur.execute(
        _STATE["insert_act"],
        {
            "at": act.at,
            "actor": act.actor,
            "act": act.act,
            "symbol": row_symbol(act.symbol) if act.symbol else None,
            "reason": act.reason,
        },
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _protection(cur: cursor, symbol: str) -> Protection | None:
    cur.execute(_PROTECTIONS["one"], {"symbol": row_symbol(symbol)})
    row = cur.fetchone()
    return _read_protection(row) if row else None


def _read_protection(row: Sequence[Any]) -> Protection:
    return Protection(store_symbol(row[0]), *row[1:])


def _read_position(row: Sequence[Any]) -> OpenPosition:
    return OpenPosition(row[0], store_symbol(row[1]), *row[2:])


def _insert_signal(cur: cursor, signal: Signal, *, acted: bool, reject_reason: str | None) -> None:
    cur.execute(_RECORD["insert_signal"], _signal_row(signal, acted, reject_reason))


def _signal_row(signal: Signal, acted: bool, reject_reason: str | None) -> dict[str, Any]:
    return {
        "symbol": row_symbol(signal.symbol),
        "at": signal.at,
        "rule": signal.rule,
        "close": signal.close,
        "highest_high": signal.highest_high,
        "volume_ratio": signal.volume_ratio,
        "rsi": signal.rsi,
        "score": signal.score,
        "acted": acted,
        "reject_reason": reject_reason,
    }


def _read_signal(row: Sequence[Any]) -> tuple[Signal, bool, str | None]:
    symbol, at, rule, close, highest_high, volume_ratio, rsi, score, acted, reject_reason = row
    # Rows of the earlier bot hold no prices; NaN says "not known" where the type has no None.
    close, highest_high, volume_ratio, rsi = (
        math.nan if v is None else float(v) for v in (close, highest_high, volume_ratio, rsi)
    )
    signal = Signal(store_symbol(symbol), at, rule, close, highest_high, volume_ratio, rsi, score)
    return signal, acted, reject_reason


def _finite(measures: Mapping[str, float]) -> dict[str, float | str]:
    """JSON knows no NaN or infinity; their names are stored and read back by `float`."""
    return {key: float(v) if math.isfinite(v) else str(float(v)) for key, v in measures.items()}


def _scan(cur: cursor, number: int) -> UniverseScan | None:
    cur.execute(_RECORD["scan"], {"id": number})
    rows = cur.fetchall()
    if not rows:
        return None
    return UniverseScan(
        rows[0][0],
        tuple(
            UniverseRow(store_symbol(symbol), accepted, reason, score, rank, {k: float(v) for k, v in measures.items()})
            for _, symbol, accepted, reason, score, rank, measures in rows
            if symbol is not None
        ),
    )
