-- What a UTC day brought, for its summary. from and to are its ends, the first included.

-- name: exits
SELECT COALESCE(exit_reason, 'unknown'), count(*), COALESCE(sum(pnl_usd), 0)
FROM (SELECT exit_reason, pnl_usd, closed_at FROM micro_positions WHERE variant_id = %(variant)s AND status = 'closed'
      UNION ALL
      SELECT exit_reason, pnl_usd, closed_at FROM paper_positions WHERE status = 'closed') AS closed
WHERE closed_at >= %(from)s AND closed_at < %(to)s
GROUP BY 1

-- name: entries
SELECT count(*) FROM micro_positions
WHERE variant_id = %(variant)s AND status <> 'superseded' AND opened_at >= %(from)s AND opened_at < %(to)s

-- name: rejected
SELECT COALESCE(reject_reason, 'unknown'), count(*) FROM signals
WHERE NOT acted AND created_at >= %(from)s AND created_at < %(to)s
GROUP BY 1

-- name: open_at_end
SELECT symbol
FROM (SELECT symbol, opened_at, closed_at, status FROM micro_positions WHERE variant_id = %(variant)s
      UNION ALL
      SELECT symbol, opened_at, closed_at, status FROM paper_positions) AS p
WHERE opened_at < %(to)s AND (status = 'open' OR status = 'closed' AND closed_at >= %(to)s)
ORDER BY opened_at, symbol

-- name: equity_at
SELECT equity_usd FROM equity_snapshots WHERE at <= %(at)s ORDER BY at DESC LIMIT 1

-- name: days_without_summary
SELECT DISTINCT (at AT TIME ZONE 'UTC')::date AS day FROM equity_snapshots
WHERE at > %(from)s AND at < %(to)s
  AND NOT EXISTS (SELECT FROM alerts WHERE key = 'daily_summary ' || ((at AT TIME ZONE 'UTC')::date)::text)
ORDER BY day
