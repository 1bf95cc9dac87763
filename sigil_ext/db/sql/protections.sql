-- Protections of one variant. GREATEST passes over nulls, so a write here lengthens a bar or leaves it; only `lift` ends one.

-- name: one
SELECT symbol, expires_at, ban_until, violation_count, created_at, last_violation_at, reason
FROM symbol_protections WHERE symbol = %(symbol)s

-- name: all
SELECT symbol, expires_at, ban_until, violation_count, created_at, last_violation_at, reason
FROM symbol_protections ORDER BY symbol COLLATE "C"

-- name: protect
INSERT INTO symbol_protections AS p (
    symbol, expires_at, ban_until, violation_count, created_at, last_violation_at, reason, updated_at)
VALUES (
    %(symbol)s, %(expires_at)s, %(ban_until)s, %(violation_count)s, %(created_at)s, %(last_violation_at)s, %(reason)s,
    %(at)s)
ON CONFLICT (symbol) DO UPDATE
SET expires_at = GREATEST(p.expires_at, EXCLUDED.expires_at),
    ban_until = GREATEST(p.ban_until, EXCLUDED.ban_until),
    reason = EXCLUDED.reason,
    updated_at = EXCLUDED.updated_at
RETURNING symbol, expires_at, ban_until, violation_count, created_at, last_violation_at, reason

-- name: count_violation
-- The only write that sets the count: what is left of the old one after its decay, plus one.
INSERT INTO symbol_protections AS p (
    symbol, expires_at, ban_until, violation_count, created_at, last_violation_at, reason, updated_at)
VALUES (
    %(symbol)s, %(expires_at)s, %(ban_until)s, %(violation_count)s, %(created_at)s, %(last_violation_at)s, %(reason)s,
    %(at)s)
ON CONFLICT (symbol) DO UPDATE
SET expires_at = GREATEST(p.expires_at, EXCLUDED.expires_at),
    ban_until = GREATEST(p.ban_until, EXCLUDED.ban_until),
    violation_count = EXCLUDED.violation_count,
    last_violation_at = EXCLUDED.last_violation_at,
    reason = EXCLUDED.reason,
    updated_at = EXCLUDED.updated_at
RETURNING symbol, expires_at, ban_until, violation_count, created_at, last_violation_at, reason

-- name: lift
INSERT INTO symbol_protections AS p (
    symbol, expires_at, ban_until, violation_count, created_at, last_violation_at, reason, updated_at)
VALUES (
    %(symbol)s, %(expires_at)s, %(ban_until)s, %(violation_count)s, %(created_at)s, %(last_violation_at)s, %(reason)s,
    %(at)s)
ON CONFLICT (symbol) DO UPDATE
SET expires_at = EXCLUDED.expires_at, ban_until = EXCLUDED.ban_until, reason = EXCLUDED.reason,
    updated_at = EXCLUDED.updated_at
RETURNING symbol, expires_at, ban_until, violation_count, created_at, last_violation_at, reason

-- name: insert_event
-- In one journey with one of the writes above, which is `kept` then. Written as an act is (state.sql).
INSERT INTO protection_events (symbol, at, kind, actor, reason, expires_at, ban_until, violation_count, written_at)
SELECT symbol, %(at)s, %(kind)s, %(actor)s, %(event_reason)s, expires_at, ban_until, violation_count, clock_timestamp()
FROM kept

-- name: events
SELECT symbol, at, kind, actor, reason, expires_at, ban_until, violation_count
FROM protection_events WHERE symbol = %(symbol)s ORDER BY id
