-- What the reading commands ask. Nothing here writes; all of it answers on a database that has just been migrated, too.

-- name: positions
-- Of one status, or of all where none is asked for.
SELECT m.id, 'micro_positions' AS table_name, m.symbol, m.status, m.opened_at, m.entry_price, m.qty, m.high_water,
       m.atr_at_entry, m.stop_price, m.stop_pct, m.trail_armed, m.risk_usd, m.notional_usd, m.cap_bound, m.universe_id,
       m.increases, m.mae_r, m.mfe_r, m.exit_price, m.closed_at, m.exit_reason, m.exit_detail, m.fees_usd, m.pnl_usd,
       m.downtime, s.kept_id
FROM micro_positions AS m LEFT JOIN superseded_positions AS s ON s.position_id = m.id
WHERE m.variant_id = %(variant)s AND (%(status)s::text IS NULL OR m.status = %(status)s)
UNION ALL
SELECT id, 'paper_positions', symbol, status, opened_at, entry_price, qty, NULL, atr_at_entry, NULL, NULL, NULL, NULL,
       NULL, NULL, NULL, 0, NULL, NULL, exit_price, closed_at, exit_reason, NULL, fees_usd, pnl_usd, false, NULL
FROM paper_positions WHERE %(status)s::text IS NULL OR status = %(status)s
ORDER BY opened_at, table_name, id

-- name: adopted
-- Of positions that a session found open: the stop that the newest such session gave each; it is not in their rows.
SELECT DISTINCT ON (a ->> 'table', a ->> 'id') a ->> 'table', (a ->> 'id')::bigint, (a ->> 'stop')::float8, (a ->> 'stop_pct')::float8
FROM paper_sessions AS s CROSS JOIN jsonb_array_elements(s.adopted) AS a
WHERE a ? 'stop' AND a ? 'stop_pct' ORDER BY a ->> 'table', a ->> 'id', s.id DESC

-- name: signal_of
SELECT rule, close, highest_high, volume_ratio, rsi, score FROM signals
WHERE symbol = %(symbol)s AND created_at = %(at)s AND acted ORDER BY id LIMIT 1

-- name: last_session
SELECT id, symbols FROM paper_sessions ORDER BY id DESC LIMIT 1

-- name: last_minutes
SELECT open_ms, candles FROM paper_minutes WHERE session_id = %(id)s ORDER BY open_ms DESC

-- name: minutes_between
SELECT open_ms, candles FROM paper_minutes
WHERE session_id = %(id)s AND open_ms >= %(since)s AND open_ms < %(until)s ORDER BY open_ms

-- name: sessions_overlapping
SELECT id, symbols FROM paper_sessions AS s
WHERE start_ms < %(until)s
  AND EXISTS (SELECT FROM paper_minutes AS m WHERE m.session_id = s.id AND m.open_ms >= %(since)s AND m.open_ms < %(until)s)
ORDER BY id DESC LIMIT 1

-- name: scan_ids
SELECT id, at FROM universe_scans ORDER BY id DESC LIMIT %(limit)s

-- name: scan_settings
-- The settings of the session that wrote the scan, by the database's clock.
SELECT p.settings FROM universe_scans AS u JOIN paper_sessions AS p
  ON p.started_at <= u.written_at AND (p.ended_at IS NULL OR u.written_at <= p.ended_at)
WHERE u.id = %(id)s ORDER BY p.id DESC LIMIT 1

-- name: protection_at
-- What stood after the last change up to an instant; rows of the earlier bot have no history, the row itself stands in.
SELECT e.ban_until, e.expires_at, e.violation_count FROM (
    SELECT ban_until, expires_at, violation_count, 1 AS known, id FROM protection_events
    WHERE symbol = %(symbol)s AND at <= %(at)s
    UNION ALL
    SELECT ban_until, expires_at, violation_count, 0, 0 FROM symbol_protections
    WHERE symbol = %(symbol)s AND created_at <= %(at)s
      AND NOT EXISTS (SELECT FROM protection_events WHERE symbol = %(symbol)s)
) AS e ORDER BY known DESC, id DESC LIMIT 1

-- name: banned_at
SELECT symbol FROM (
    SELECT DISTINCT ON (symbol) symbol, ban_until FROM protection_events WHERE at <= %(at)s ORDER BY symbol, id DESC
) AS e WHERE ban_until > %(at)s
UNION
SELECT p.symbol FROM symbol_protections AS p
WHERE p.ban_until > %(at)s AND p.created_at <= %(at)s
  AND NOT EXISTS (SELECT FROM protection_events AS e WHERE e.symbol = p.symbol)

-- name: held_at
-- Resting stops fill within the minute that ends at the instant, before a scan then; other exits follow that scan.
SELECT symbol FROM micro_positions
WHERE variant_id = %(variant)s AND status <> 'superseded' AND opened_at < %(at)s
  AND (closed_at IS NULL OR closed_at > %(at)s
       OR (closed_at = %(at)s AND exit_reason IS DISTINCT FROM 'hard_stop' AND exit_reason IS DISTINCT FROM 'atr_trail'))
UNION
SELECT symbol FROM paper_positions WHERE opened_at < %(at)s AND (closed_at IS NULL OR closed_at >= %(at)s)
