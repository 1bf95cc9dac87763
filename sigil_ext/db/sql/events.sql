-- What happened since the last look, for the stream of events. One journey each second for all listeners together.

-- name: here
-- Where each table ends now, and which transactions run: all before the first number have ended, none has the second yet.
SELECT coalesce((SELECT max(id) FROM signals), 0), coalesce((SELECT max(id) FROM protection_events), 0),
       coalesce((SELECT max(id) FROM operator_acts), 0), coalesce((SELECT max(id) FROM session_requests), 0),
       coalesce((SELECT max(id) FROM universe_scans), 0), coalesce((SELECT max(id) FROM alerts), 0),
       coalesce((SELECT max(id) FROM audits), 0), coalesce((SELECT max(id) FROM probe_runs), 0),
       coalesce((SELECT max(id) FROM micro_positions), 0),
       pg_snapshot_xmin(pg_current_snapshot())::text::bigint, pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
       (SELECT max(at) FROM equity_snapshots)

-- name: known
-- The numbers that are there already when the stream begins; one that is missing may belong to a transaction that runs.
SELECT 'signals', id FROM signals WHERE id > %(signals)s
UNION ALL SELECT 'protections', id FROM protection_events WHERE id > %(protections)s
UNION ALL SELECT 'acts', id FROM operator_acts WHERE id > %(acts)s
UNION ALL SELECT 'requests', id FROM session_requests WHERE id > %(requests)s
UNION ALL SELECT 'scans', id FROM universe_scans WHERE id > %(scans)s
UNION ALL SELECT 'alerts', id FROM alerts WHERE id > %(alerts)s
UNION ALL SELECT 'audits', id FROM audits WHERE id > %(audits)s
UNION ALL SELECT 'probes', id FROM probe_runs WHERE id > %(probes)s
UNION ALL SELECT 'positions', id FROM micro_positions WHERE id > %(positions)s

-- name: since
-- Rows whose numbers were not read yet: those after the mark, and those that were passed over before it.
SELECT kind, key, at, data FROM (
    SELECT 1 AS place, 'signal' AS kind, id AS key, created_at AS at, jsonb_build_object(
        'id', id, 'symbol', symbol, 'rule', rule, 'close', close, 'acted', acted, 'reject_reason', reject_reason) AS data
    FROM signals WHERE id >= lower(%(signals)s::int8multirange) AND id <@ %(signals)s::int8multirange
    UNION ALL
    SELECT 2, 'protection', id, at, jsonb_build_object(
        'id', id, 'symbol', symbol, 'kind', kind, 'actor', actor, 'reason', reason, 'expires_at', expires_at,
        'ban_until', ban_until, 'violation_count', violation_count)
    FROM protection_events WHERE id >= lower(%(protections)s::int8multirange) AND id <@ %(protections)s::int8multirange
    UNION ALL
    SELECT 3, 'act', id, at, jsonb_build_object('id', id, 'actor', actor, 'act', act, 'symbol', symbol, 'reason', reason)
    FROM operator_acts WHERE id >= lower(%(acts)s::int8multirange) AND id <@ %(acts)s::int8multirange
    UNION ALL
    SELECT 4, 'request', id, at, jsonb_build_object(
        'id', id, 'actor', actor, 'act', act, 'symbol', symbol, 'reason', reason)
    FROM session_requests WHERE id >= lower(%(requests)s::int8multirange) AND id <@ %(requests)s::int8multirange
    UNION ALL
    SELECT 5, 'scan', id, at, jsonb_build_object('id', id)
    FROM universe_scans WHERE id >= lower(%(scans)s::int8multirange) AND id <@ %(scans)s::int8multirange
    UNION ALL
    SELECT 6, 'alert', id, at, jsonb_build_object('id', id, 'event', event, 'reason', reason, 'title', title, 'body', body)
    FROM alerts WHERE id >= lower(%(alerts)s::int8multirange) AND id <@ %(alerts)s::int8multirange
    UNION ALL
    SELECT 7, 'audit', id, at, jsonb_build_object(
        'id', id, 'matched', matched, 'paper_only', paper_only, 'backtest_only', backtest_only, 'differing', differing,
        'unexplained', unexplained)
    FROM audits WHERE id >= lower(%(audits)s::int8multirange) AND id <@ %(audits)s::int8multirange
    UNION ALL
    SELECT 8, 'probe', id, at, jsonb_build_object('id', id, 'findings', jsonb_array_length(findings))
    FROM probe_runs WHERE id >= lower(%(probes)s::int8multirange) AND id <@ %(probes)s::int8multirange
) AS e ORDER BY place, key LIMIT %(limit)s

-- name: equity_since
SELECT at, equity_usd, cash_usd, positions_usd, open_positions FROM equity_snapshots
WHERE %(equity)s::timestamptz IS NULL OR at > %(equity)s ORDER BY at DESC LIMIT 1

-- name: positions
-- Open positions as they stand, and those that were closed lately: what differs from the look before is an event.
SELECT id, symbol, status, opened_at, closed_at, entry_price, exit_price, qty, stop_price, trail_armed, exit_reason, pnl_usd
FROM micro_positions WHERE variant_id = %(variant)s AND (status = 'open' OR id = ANY (%(watched)s))
ORDER BY id

-- name: new_positions
-- Opened and closed between two looks.
SELECT id, symbol, status, opened_at, closed_at, entry_price, exit_price, qty, stop_price, trail_armed, exit_reason, pnl_usd
FROM micro_positions WHERE variant_id = %(variant)s AND id >= lower(%(positions)s::int8multirange) AND id <@ %(positions)s::int8multirange ORDER BY id LIMIT %(limit)s
