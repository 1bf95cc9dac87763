-- What the API asks of one variant's database. Reads only. Newest first; a page begins after (before_at, before_key).

-- name: positions
SELECT key, name, at, symbol, status, opened_at, closed_at, entry_price, exit_price, qty, high_water, atr_at_entry,
       stop_price, stop_pct, trail_armed, risk_usd, notional_usd, cap_bound, universe_id, increases, mae_r, mfe_r,
       exit_reason, exit_detail, fees_usd, pnl_usd, downtime
FROM (
    SELECT id AS key, id::text AS name, CASE WHEN status = 'closed' THEN COALESCE(closed_at, opened_at) ELSE opened_at END AS at,
           symbol, status, opened_at, closed_at, entry_price, exit_price, qty, high_water, atr_at_entry, stop_price, stop_pct,
           trail_armed, risk_usd, notional_usd, cap_bound, universe_id, increases, mae_r, mfe_r, exit_reason, exit_detail,
           fees_usd, pnl_usd, downtime
    FROM micro_positions WHERE variant_id = %(variant)s
    UNION ALL
    SELECT -id, 'p' || id, CASE WHEN status = 'closed' THEN COALESCE(closed_at, opened_at) ELSE opened_at END, symbol, status,
           opened_at, closed_at, entry_price, exit_price, qty, NULL, atr_at_entry, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
           0, NULL, NULL, exit_reason, NULL, fees_usd, pnl_usd, false
    FROM paper_positions
) AS p
WHERE (%(status)s = 'all' OR status = %(status)s) AND (%(symbol)s::text IS NULL OR symbol = %(symbol)s)
  AND (%(exit_reason)s::text IS NULL OR exit_reason = %(exit_reason)s)
  AND (%(since)s::timestamptz IS NULL OR at >= %(since)s) AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
  AND (%(before_at)s::timestamptz IS NULL OR (at, key) < (%(before_at)s, %(before_key)s))
ORDER BY at DESC, key DESC LIMIT %(limit)s

-- name: signals
SELECT id, symbol, created_at, rule, close, highest_high, volume_ratio, rsi, score, acted, reject_reason
FROM signals
WHERE (%(symbol)s::text IS NULL OR symbol = %(symbol)s) AND (%(acted)s::boolean IS NULL OR acted = %(acted)s)
  AND (%(reason)s::text IS NULL OR reject_reason = %(reason)s)
  AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s) AND (%(until)s::timestamptz IS NULL OR created_at < %(until)s)
  AND (%(before_at)s::timestamptz IS NULL OR (created_at, id) < (%(before_at)s, %(before_key)s))
ORDER BY created_at DESC, id DESC LIMIT %(limit)s

-- name: refusals
SELECT symbol, reason, bars, signals, first_at, last_at FROM refusals
WHERE (%(symbol)s::text IS NULL OR symbol = %(symbol)s) AND (%(reason)s::text IS NULL OR reason = %(reason)s)
ORDER BY signals DESC, bars DESC, symbol COLLATE "C", reason COLLATE "C"

-- name: acts
SELECT id, at, actor, act, symbol, reason, done_at, outcome FROM (
    SELECT id, at, actor, act, symbol, reason, NULL::timestamptz AS done_at, NULL::text AS outcome FROM operator_acts
    UNION ALL
    SELECT -id, at, actor, act, symbol, reason, done_at, outcome FROM session_requests
) AS a
WHERE (%(symbol)s::text IS NULL OR symbol = %(symbol)s)
  AND (%(since)s::timestamptz IS NULL OR at >= %(since)s) AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
  AND (%(before_at)s::timestamptz IS NULL OR (at, id) < (%(before_at)s, %(before_key)s))
ORDER BY at DESC, id DESC LIMIT %(limit)s

-- name: audits
SELECT id, at, session_id, since, until, matched, paper_only, backtest_only, differing, unexplained FROM audits
WHERE (%(since)s::timestamptz IS NULL OR at >= %(since)s) AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
  AND (%(before_at)s::timestamptz IS NULL OR (at, id) < (%(before_at)s, %(before_key)s))
ORDER BY at DESC, id DESC LIMIT %(limit)s

-- name: audit
SELECT id, at, session_id, since, until, matched, paper_only, backtest_only, differing, unexplained, report
FROM audits WHERE id = %(id)s

-- name: scans
SELECT s.id, s.at, s.written_at, count(r.symbol) FILTER (WHERE r.accepted), count(r.symbol)
FROM (SELECT id, at, written_at FROM universe_scans
      WHERE (%(since)s::timestamptz IS NULL OR at >= %(since)s) AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
        AND (%(before_at)s::timestamptz IS NULL OR (at, id) < (%(before_at)s, %(before_key)s))
      ORDER BY at DESC, id DESC LIMIT %(limit)s) AS s
LEFT JOIN universe_rows AS r ON r.scan_id = s.id
GROUP BY s.id, s.at, s.written_at ORDER BY s.at DESC, s.id DESC

-- name: protection_events
SELECT id, symbol, at, kind, actor, reason, expires_at, ban_until, violation_count FROM protection_events
WHERE (%(symbol)s::text IS NULL OR symbol = %(symbol)s)
  AND (%(since)s::timestamptz IS NULL OR at >= %(since)s) AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
  AND (%(before_at)s::timestamptz IS NULL OR (at, id) < (%(before_at)s, %(before_key)s))
ORDER BY at DESC, id DESC LIMIT %(limit)s

-- name: alerts
SELECT id, at, event, reason, title, body, state, settled_at FROM alerts
WHERE (%(since)s::timestamptz IS NULL OR at >= %(since)s) AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
  AND (%(before_at)s::timestamptz IS NULL OR (at, id) < (%(before_at)s, %(before_key)s))
ORDER BY at DESC, id DESC LIMIT %(limit)s

-- name: probes
SELECT id, at, findings, took_ms FROM probe_runs
WHERE (%(since)s::timestamptz IS NULL OR at >= %(since)s) AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
  AND (%(before_at)s::timestamptz IS NULL OR (at, id) < (%(before_at)s, %(before_key)s))
ORDER BY at DESC, id DESC LIMIT %(limit)s

-- name: equity_span
SELECT min(at), max(at) FROM equity_snapshots
WHERE (%(since)s::timestamptz IS NULL OR at >= %(since)s) AND (%(until)s::timestamptz IS NULL OR at < %(until)s)

-- name: equity
-- What stood at each of so many instants: a look into the index for each, whatever the length of the record.
SELECT DISTINCT e.at, e.equity_usd, e.cash_usd, e.positions_usd, e.open_positions
FROM generate_series(%(first)s::timestamptz, %(last)s::timestamptz, %(step)s * interval '1 second') AS t
CROSS JOIN LATERAL (SELECT at, equity_usd, cash_usd, positions_usd, open_positions FROM equity_snapshots
                    WHERE at <= t AND at >= %(first)s ORDER BY at DESC LIMIT 1) AS e
UNION
(SELECT at, equity_usd, cash_usd, positions_usd, open_positions FROM equity_snapshots
 WHERE at <= %(last)s AND at >= %(first)s ORDER BY at DESC LIMIT 1)
ORDER BY at

-- name: drawdown
-- Of marked equity in [since, until): the largest fall from its highest, USD and percent; the highest, the last, when it
-- began and ended, on how many days. peak, usd, pct and day are what is known of the time before `since`.
SELECT greatest(%(usd)s, max(peak - equity_usd)), greatest(%(pct)s, max(CASE WHEN peak > 0 THEN (peak - equity_usd) / peak * 100 END)),
       max(peak), (array_agg(equity_usd ORDER BY at DESC))[1], min(at), max(at),
       count(DISTINCT day) FILTER (WHERE %(day)s::date IS NULL OR day > %(day)s), max(day), count(*),
       (array_agg(equity_usd ORDER BY at))[1]
FROM (SELECT at, equity_usd, greatest(%(peak)s::double precision, max(equity_usd) OVER (ORDER BY at)) AS peak,
             (at AT TIME ZONE 'UTC')::date AS day
      FROM equity_snapshots
      WHERE (%(since)s::timestamptz IS NULL OR at >= %(since)s) AND (%(until)s::timestamptz IS NULL OR at < %(until)s)) AS e

-- name: snapshot
SELECT equity_usd, (SELECT max(at) FROM equity_snapshots) FROM equity_snapshots WHERE at = %(at)s

-- name: day_began_with
SELECT equity_usd FROM equity_snapshots WHERE at <= date_trunc('day', %(at)s AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
ORDER BY at DESC LIMIT 1

-- name: closed
SELECT symbol, exit_reason, closed_at, pnl_usd, fees_usd, extract(epoch FROM closed_at - opened_at), notional_usd
FROM (SELECT symbol, exit_reason, opened_at, closed_at, pnl_usd, fees_usd, COALESCE(notional_usd, qty * entry_price) AS notional_usd
      FROM micro_positions WHERE variant_id = %(variant)s AND status = 'closed'
      UNION ALL
      SELECT symbol, exit_reason, opened_at, closed_at, pnl_usd, fees_usd, qty * entry_price FROM paper_positions WHERE status = 'closed') AS p
WHERE closed_at IS NOT NULL
  AND (%(since)s::timestamptz IS NULL OR closed_at >= %(since)s) AND (%(until)s::timestamptz IS NULL OR closed_at < %(until)s)
ORDER BY closed_at, symbol

-- name: shares
SELECT count(*), count(*) FILTER (WHERE exit_reason = 'hard_stop'), count(*) FILTER (WHERE pnl_usd > 0)
FROM (SELECT exit_reason, pnl_usd FROM micro_positions WHERE variant_id = %(variant)s AND status = 'closed'
      UNION ALL SELECT exit_reason, pnl_usd FROM paper_positions WHERE status = 'closed') AS p

-- name: last_trades
-- P&L of the newest closed trades, newest first.
SELECT pnl_usd FROM (
    SELECT closed_at, pnl_usd FROM micro_positions WHERE variant_id = %(variant)s AND status = 'closed'
    UNION ALL SELECT closed_at, pnl_usd FROM paper_positions WHERE status = 'closed') AS p
ORDER BY closed_at DESC LIMIT %(limit)s

-- name: last_session
-- The newest session, its pool, the last minute it recorded; its cash at the start and the open positions that it found.
SELECT id, symbols, (SELECT max(open_ms) FROM paper_minutes AS m WHERE m.session_id = s.id),
       coalesce(cash_usd, (settings ->> 'sizing.starting_balance')::double precision), adopted,
       (settings ->> 'costs.fee_pct')::double precision + (settings ->> 'costs.slippage_pct')::double precision
FROM paper_sessions AS s ORDER BY id DESC LIMIT 1

-- name: last_session_settings
SELECT settings, start_ms, cash_usd FROM paper_sessions ORDER BY id DESC LIMIT 1

-- name: newest_minutes
SELECT s.id, s.symbols, m.open_ms, m.candles FROM paper_sessions AS s
JOIN LATERAL (SELECT open_ms, candles FROM paper_minutes WHERE session_id = s.id ORDER BY open_ms DESC LIMIT %(limit)s) AS m ON true
WHERE s.id = (SELECT max(id) FROM paper_sessions)

-- name: sessions_with
-- Sessions that follow a symbol and recorded minutes in [since, until); the number is its place in `symbols`, from 0 on.
SELECT s.id, array_position(s.symbols, %(symbol)s) - 1, cardinality(s.symbols),
       (SELECT count(*) FROM unnest(s.symbols) AS n WHERE n COLLATE "C" < %(symbol)s COLLATE "C")
FROM paper_sessions AS s
WHERE %(symbol)s = ANY (s.symbols) AND s.start_ms < %(until)s
  AND EXISTS (SELECT FROM paper_minutes AS m WHERE m.session_id = s.id AND m.open_ms >= %(since)s AND m.open_ms < %(until)s)
ORDER BY s.id

-- name: minutes_of_symbol
-- Rows of a minute stand in the order of the names, absent symbols left out: the wanted one is at most as many places
-- before its own as symbols are absent. So few bytes of each minute travel.
SELECT open_ms,
       substring(candles FROM greatest(0, %(place)s - (%(symbols)s - length(candles) / 48)) * 48 + 1
                         FOR (%(symbols)s - length(candles) / 48 + 1) * 48)
FROM paper_minutes
WHERE session_id = %(id)s AND open_ms >= %(since)s AND open_ms < %(until)s ORDER BY open_ms DESC LIMIT %(limit)s

-- name: last_minute_of_symbol
SELECT max(m.open_ms) FROM paper_minutes AS m JOIN paper_sessions AS s ON s.id = m.session_id
WHERE s.id = (SELECT max(id) FROM paper_sessions WHERE %(symbol)s = ANY (symbols))

-- name: sampled_minutes
-- The last minute up to each of so many instants, with every candle in it.
SELECT DISTINCT m.open_ms, m.candles
FROM generate_series(%(since)s::bigint, %(until)s::bigint, %(step)s::bigint) AS t
CROSS JOIN LATERAL (SELECT open_ms, candles FROM paper_minutes
                    WHERE session_id = %(id)s AND open_ms <= t ORDER BY open_ms DESC LIMIT 1) AS m
UNION
SELECT open_ms, candles FROM paper_minutes WHERE session_id = %(id)s AND open_ms = %(until)s
ORDER BY open_ms

-- name: minutes_from_to
SELECT open_ms, candles FROM paper_minutes
WHERE session_id = %(id)s AND open_ms >= %(since)s AND open_ms <= %(until)s ORDER BY open_ms

-- name: minutes_span
SELECT min(open_ms), max(open_ms) FROM paper_minutes WHERE session_id = %(id)s

-- name: clock
SELECT clock_timestamp(), h.last_candle, h.feed
FROM (SELECT 1) AS one LEFT JOIN scanner_heartbeat AS h ON h.variant_id = %(variant)s

-- name: schema
SELECT version, name, applied_at FROM schema_migrations ORDER BY version DESC LIMIT 1
