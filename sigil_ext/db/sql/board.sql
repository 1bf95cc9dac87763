-- What the panel's pages show beyond what the reading commands ask. Reads only.

-- name: exits
SELECT coalesce(exit_reason, 'no reason stored'), count(*), count(*) FILTER (WHERE pnl_usd > 0),
       coalesce(sum(pnl_usd), 0), coalesce(sum(fees_usd), 0), avg(extract(epoch FROM closed_at - opened_at))
FROM (SELECT exit_reason, pnl_usd, fees_usd, opened_at, closed_at FROM micro_positions
      WHERE variant_id = %(variant)s AND status = 'closed'
      UNION ALL SELECT exit_reason, pnl_usd, fees_usd, opened_at, closed_at FROM paper_positions WHERE status = 'closed') AS p
GROUP BY 1 ORDER BY 2 DESC, 1

-- name: equity_curve
-- The last snapshot of each of `points` equal stretches of time.
SELECT DISTINCT ON (stretch) at, equity_usd
FROM (SELECT at, equity_usd, floor(extract(epoch FROM at - %(from)s::timestamptz) / %(step)s) AS stretch
      FROM equity_snapshots WHERE at >= %(from)s) AS e
ORDER BY stretch, at DESC

-- name: signals
SELECT symbol, created_at, rule, close, highest_high, volume_ratio, rsi, acted, reject_reason
FROM signals ORDER BY created_at DESC, id DESC LIMIT %(limit)s

-- name: protection_events
SELECT symbol, at, kind, actor, reason, expires_at, ban_until, violation_count
FROM protection_events ORDER BY id DESC LIMIT %(limit)s

-- name: session
SELECT id, started_at, ended_at, settings, symbols, start_ms, feed, strategy FROM paper_sessions ORDER BY id DESC LIMIT 1

-- name: session_at
-- The session whose record holds an instant, else the last that began before it.
SELECT id, settings FROM paper_sessions WHERE start_ms <= %(ms)s ORDER BY start_ms DESC, id DESC LIMIT 1

-- name: minutes_by_hour
SELECT (open_ms / 3600000) AS hour, count(*), count(*) FILTER (WHERE downtime), max(written_at)
FROM paper_minutes WHERE session_id = %(session)s
  AND open_ms >= (SELECT max(open_ms) FROM paper_minutes WHERE session_id = %(session)s) - %(hours)s * 3600000::bigint
GROUP BY 1 ORDER BY 1

-- name: sessions_between
-- Every session with a recorded minute in [since, until), oldest first.
SELECT id, symbols FROM paper_sessions AS s
WHERE start_ms < %(until)s
  AND EXISTS (SELECT FROM paper_minutes AS m WHERE m.session_id = s.id AND m.open_ms >= %(since)s AND m.open_ms < %(until)s)
ORDER BY id

-- name: scans
SELECT s.id, s.at, s.written_at, count(*) FILTER (WHERE r.accepted), count(r.symbol)
FROM (SELECT * FROM universe_scans ORDER BY id DESC LIMIT %(limit)s) AS s
LEFT JOIN universe_rows AS r ON r.scan_id = s.id GROUP BY s.id, s.at, s.written_at ORDER BY s.id DESC

-- name: feed_events
SELECT at, kind, symbol, detail FROM feed_events ORDER BY at DESC, id DESC LIMIT %(limit)s

-- name: probe_runs
SELECT at, host, findings, took_ms FROM probe_runs ORDER BY id DESC LIMIT %(limit)s

-- name: channels
SELECT c.channel, c.failures, c.last_sent_at, c.failing_since, c.last_error,
       (SELECT count(*) FROM alert_deliveries AS d WHERE d.channel = c.channel AND d.state IN ('waiting', 'sending'))
FROM alert_channels AS c ORDER BY c.channel

-- name: audits
SELECT id, session_id, at, since, until, matched, paper_only, backtest_only, differing, unexplained, report
FROM audits ORDER BY id DESC LIMIT %(limit)s

-- name: migrations
SELECT version, name, applied_at FROM schema_migrations ORDER BY version DESC

-- name: jobs_there
SELECT to_regclass('public.apscheduler_jobs') IS NOT NULL

-- name: jobs
SELECT id, to_timestamp(next_run_time) FROM apscheduler_jobs ORDER BY next_run_time, id

-- name: acts
SELECT at, actor, act, symbol, reason, NULL FROM operator_acts
UNION ALL
SELECT at, actor, act, symbol, reason, coalesce(outcome, 'waits for the session') FROM session_requests
ORDER BY 1 DESC LIMIT %(limit)s
