-- What is written down and never decided upon: signals, refusals, scans.

-- name: insert_signal
INSERT INTO signals (symbol, rule, score, rsi, volume_ratio, acted, reject_reason, created_at, close, highest_high)
VALUES (%(symbol)s, %(rule)s, %(score)s, %(rsi)s, %(volume_ratio)s, %(acted)s, %(reject_reason)s, %(at)s, %(close)s,
        %(highest_high)s)

-- name: signals
SELECT symbol, created_at, rule, close, highest_high, volume_ratio, rsi, score, acted, reject_reason
FROM signals WHERE %(since)s::timestamptz IS NULL OR created_at >= %(since)s
ORDER BY created_at, id

-- name: count_refusal
INSERT INTO refusals AS r (symbol, reason, bars, signals, first_at, last_at)
VALUES (%(symbol)s, %(reason)s, 1, %(signals)s, %(at)s, %(at)s)
ON CONFLICT (symbol, reason) DO UPDATE
SET bars = r.bars + 1, signals = r.signals + EXCLUDED.signals,
    first_at = LEAST(r.first_at, EXCLUDED.first_at), last_at = GREATEST(r.last_at, EXCLUDED.last_at)

-- name: count_refusals
INSERT INTO refusals AS r (symbol, reason, bars, signals, first_at, last_at) VALUES %s
ON CONFLICT (symbol, reason) DO UPDATE
SET bars = r.bars + EXCLUDED.bars, signals = r.signals + EXCLUDED.signals,
    first_at = LEAST(r.first_at, EXCLUDED.first_at), last_at = GREATEST(r.last_at, EXCLUDED.last_at)

-- name: refusals
SELECT symbol, reason, bars, signals, first_at, last_at FROM refusals ORDER BY symbol COLLATE "C", reason COLLATE "C"

-- name: insert_scan
-- One journey for a scan and its rows: a replay makes thousands.
WITH scan AS (INSERT INTO universe_scans (at) VALUES (%(at)s) RETURNING id),
noted AS (
    INSERT INTO universe_rows (scan_id, place, symbol, accepted, reason, score, rank, measures)
    SELECT scan.id, r.place, r.symbol, r.accepted, r.reason, r.score, r.rank, r.measures
    FROM scan, jsonb_to_recordset(%(rows)s) AS r (
        place int, symbol text, accepted boolean, reason text, score float8, rank int, measures jsonb)
)
SELECT id FROM scan

-- name: scan
SELECT s.at, r.symbol, r.accepted, r.reason, r.score, r.rank, r.measures
FROM universe_scans AS s LEFT JOIN universe_rows AS r ON r.scan_id = s.id
WHERE s.id = %(id)s ORDER BY r.place

-- name: last_scan_id
SELECT max(id) FROM universe_scans

-- name: known_symbols
SELECT symbol FROM micro_positions UNION SELECT symbol FROM paper_positions UNION SELECT symbol FROM symbol_protections
UNION SELECT symbol FROM signals UNION SELECT symbol FROM universe_rows UNION SELECT symbol FROM refusals
UNION SELECT symbol FROM protection_events
