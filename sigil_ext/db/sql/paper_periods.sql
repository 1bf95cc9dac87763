-- What comparison and gate ask of a variant's record: its sessions, how they were observed, its audits.

-- name: sessions
SELECT s.id, s.settings, s.strategy, s.feed, s.symbols, coalesce(s.trades_from_ms, s.start_ms), s.ended_at IS NOT NULL,
       (SELECT max(open_ms) FROM paper_minutes AS m WHERE m.session_id = s.id)
FROM paper_sessions AS s ORDER BY s.id

-- name: closed_positions
-- Of both books: what closed in [from, to]. Superseded rows are copies.
SELECT symbol, opened_at, closed_at, coalesce(pnl_usd, 0), coalesce(fees_usd, 0), risk_usd, exit_reason, downtime
FROM micro_positions
WHERE variant_id = %(variant)s AND status = 'closed' AND closed_at >= %(from)s AND closed_at <= %(to)s
UNION ALL
SELECT symbol, opened_at, closed_at, coalesce(pnl_usd, 0), coalesce(fees_usd, 0), NULL, exit_reason, false
FROM paper_positions WHERE %(both)s AND status = 'closed' AND closed_at >= %(from)s AND closed_at <= %(to)s
ORDER BY 3, 1, 2

-- name: own_closed
-- What the two below are about, in both as `found`: the rows of closed_positions in the variant's own book.
SELECT symbol, opened_at, closed_at, pnl_usd, fees_usd, risk_usd, exit_reason, downtime FROM micro_positions
WHERE variant_id = %(variant)s AND status = 'closed' AND closed_at >= %(from)s AND closed_at <= %(to)s

-- name: closed_mark
-- Changes with every row that comes, goes or is edited, whoever commits when; reckoned in the database.
SELECT count(*) || ' ' || coalesce(sum(hash_record_extended(
           ROW(symbol, opened_at, closed_at, pnl_usd, fees_usd, risk_usd, exit_reason, downtime), 0)), 0) AS mark FROM found

-- name: marked_closed_positions
-- Each with the mark of them all, so that both are of one moment.
SELECT symbol, opened_at, closed_at, coalesce(pnl_usd, 0), coalesce(fees_usd, 0), risk_usd, exit_reason, downtime, mark
FROM found, mark ORDER BY 3, 1, 2

-- name: span
-- From the first opening to the last change of any position, where no session was recorded.
SELECT min(opened_at), max(greatest(opened_at, closed_at))
FROM (SELECT opened_at, closed_at FROM micro_positions WHERE variant_id = %(variant)s AND status <> 'superseded'
      UNION ALL SELECT opened_at, closed_at FROM paper_positions) AS p

-- name: observed
-- Minutes recorded in [from, to), how many of them live: not fetched afterwards, and written soon after they ended.
WITH seen AS (
    SELECT open_ms, bool_or(NOT downtime AND written_at <= to_timestamp(open_ms / 1000.0) + %(soon)s) AS live
    FROM paper_minutes
    WHERE session_id = ANY(%(sessions)s) AND open_ms >= %(from)s AND open_ms < %(to)s GROUP BY open_ms
), live AS (SELECT open_ms, open_ms - lag(open_ms) OVER (ORDER BY open_ms) AS step FROM seen WHERE live)
SELECT (SELECT count(*) FROM seen), count(*), min(open_ms), max(open_ms), coalesce(max(step), 0) FROM live

-- name: audits
-- Those that looked at any of the time from..to.
SELECT id, session_id, at, since, until, matched, paper_only, backtest_only, differing, unexplained, report
FROM audits WHERE until > %(from)s AND since < %(to)s ORDER BY id

-- name: feed_events
SELECT kind, count(*) FROM feed_events
WHERE session_id = ANY(%(sessions)s) AND at >= %(from)s AND at <= %(to)s GROUP BY kind ORDER BY kind

-- name: equity
-- The wallet, open positions marked, at the first and the last record within from..to.
SELECT (SELECT equity_usd FROM equity_snapshots WHERE at >= %(from)s AND at <= %(to)s ORDER BY at LIMIT 1),
       (SELECT equity_usd FROM equity_snapshots WHERE at >= %(from)s AND at <= %(to)s ORDER BY at DESC LIMIT 1)

-- name: open_positions
SELECT count(*) FROM micro_positions WHERE variant_id = %(variant)s AND status = 'open' AND opened_at >= %(from)s

-- name: write_verdict
INSERT INTO gate_verdicts (since, until, outcome, looks, asked_by, document)
VALUES (%(since)s, %(until)s, %(outcome)s, %(looks)s, %(asked_by)s, %(document)s) RETURNING id, at

-- name: looks
-- How often the gate was asked about the period that begins at `since`.
SELECT count(*) FROM gate_verdicts WHERE since = %(since)s

-- name: verdicts
SELECT id, at, since, until, outcome, looks, asked_by, document FROM gate_verdicts ORDER BY id DESC LIMIT %(limit)s
