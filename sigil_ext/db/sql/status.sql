-- One variant at a glance. `at` is the instant that locks, today's P&L and ages of candles are judged at.

-- name: server
SELECT clock_timestamp(), current_setting('server_version_num')::int, pg_database_size(current_database()),
       EXISTS (SELECT FROM paper_sessions WHERE ended_at IS NULL)

-- name: equity
SELECT at, cash_usd, positions_usd, equity_usd FROM equity_snapshots ORDER BY at DESC LIMIT 1

-- name: pnl
SELECT count(*) FILTER (WHERE status = 'open'), count(*) FILTER (WHERE status = 'closed'), COALESCE(sum(pnl_usd), 0),
       COALESCE(sum(pnl_usd) FILTER (WHERE closed_at >= date_trunc('day', %(at)s::timestamptz)), 0)
FROM (SELECT status, pnl_usd, closed_at FROM micro_positions WHERE variant_id = %(variant)s
      UNION ALL SELECT status, pnl_usd, closed_at FROM paper_positions) AS p

-- name: protections
SELECT count(*) FILTER (WHERE ban_until > %(at)s),
       count(*) FILTER (WHERE expires_at > %(at)s AND (ban_until IS NULL OR ban_until <= %(at)s))
FROM symbol_protections

-- name: alerts
SELECT count(*) FILTER (WHERE state = 'waiting'), min(created_at) FILTER (WHERE state = 'waiting'),
       count(*) FILTER (WHERE state = 'given_up' AND settled_at > clock_timestamp() - interval '1 day')
FROM alerts WHERE state IN ('waiting', 'given_up')

-- name: incidents
SELECT key, opened_at, detail FROM incidents ORDER BY opened_at, key

-- name: last_audit
SELECT at, since, until, matched, paper_only, backtest_only, differing, unexplained FROM audits ORDER BY id DESC LIMIT 1

-- name: last_probe
SELECT at FROM probe_runs ORDER BY id DESC LIMIT 1

-- name: last_scan
SELECT s.id, s.at, count(r.symbol) FILTER (WHERE r.accepted), count(r.symbol)
FROM universe_scans AS s LEFT JOIN universe_rows AS r ON r.scan_id = s.id
WHERE s.id = (SELECT max(id) FROM universe_scans) GROUP BY s.id, s.at

-- name: session_lock
-- Whether a process holds the lock of the variant's paper session now.
SELECT EXISTS (
    SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND classid = (%(key)s::bigint >> 32)::oid AND objid = (%(key)s::bigint & 4294967295)::oid)
