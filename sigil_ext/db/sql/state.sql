-- The breaker, the pause, the locks of the entry transaction, and what people did.

-- name: try_entry
-- What is read next sees what the last holder of both did: a statement sees what was there when it began.
SELECT CASE
    WHEN pg_try_advisory_xact_lock(%(symbol)s) THEN pg_advisory_xact_lock(%(variant)s)::text IS NOT NULL
    ELSE false
END

-- name: lock
SELECT pg_advisory_xact_lock(%(key)s)

-- name: read
SELECT key, value FROM system_state WHERE key IN ('breaker', 'pause')

-- name: write
INSERT INTO system_state (key, value, updated_at) VALUES (%(key)s, %(value)s, %(at)s)
ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value, updated_at = EXCLUDED.updated_at

-- name: insert_act
-- When it was written is when it is in force, after the locks that it waited for: an audit asks which minutes saw it.
INSERT INTO operator_acts (at, actor, act, symbol, reason, written_at)
VALUES (%(at)s, %(actor)s, %(act)s, %(symbol)s, %(reason)s, clock_timestamp())

-- name: acts
SELECT at, actor, act, symbol, reason FROM operator_acts ORDER BY id
