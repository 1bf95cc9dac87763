-- Positions of one variant. micro_positions is written; paper_positions is the earlier bot's and is read and closed only.

-- name: open_on_symbol
SELECT id, symbol, opened_at, entry_price, qty, high_water, stop_price, atr_at_entry, stop_pct, universe_id,
       'micro_positions' AS table_name
FROM micro_positions WHERE symbol = %(symbol)s AND variant_id = %(variant)s AND status = 'open'
UNION ALL
SELECT id, symbol, opened_at, entry_price, qty, NULL, NULL, atr_at_entry, NULL, NULL, 'paper_positions'
FROM paper_positions WHERE symbol = %(symbol)s AND status = 'open'
ORDER BY table_name, id
LIMIT 1

-- name: all_open
SELECT id, symbol, opened_at, entry_price, qty, high_water, stop_price, atr_at_entry, stop_pct, universe_id,
       'micro_positions' AS table_name
FROM micro_positions WHERE variant_id = %(variant)s AND status = 'open'
UNION ALL
SELECT id, symbol, opened_at, entry_price, qty, NULL, NULL, atr_at_entry, NULL, NULL, 'paper_positions'
FROM paper_positions WHERE status = 'open'
ORDER BY opened_at, table_name, id

-- name: before_entry
-- Everything that may forbid an entry, in one journey and of one instant: breaker, pause, symbols held, the symbol's protection.
SELECT (SELECT value FROM system_state WHERE key = 'breaker'), (SELECT value FROM system_state WHERE key = 'pause'),
       ARRAY(SELECT symbol FROM micro_positions WHERE variant_id = %(variant)s AND status = 'open'
             UNION ALL SELECT symbol FROM paper_positions WHERE status = 'open'),
       p.symbol, p.expires_at, p.ban_until, p.violation_count, p.created_at, p.last_violation_at, p.reason
FROM (SELECT) AS always LEFT JOIN symbol_protections AS p ON p.symbol = %(symbol)s

-- name: insert
INSERT INTO micro_positions (
    symbol, variant_id, status, qty, entry_price, high_water, opened_at, atr_at_entry, stop_price, stop_pct, trail_armed,
    risk_usd, notional_usd, cap_bound, universe_id, updated_at)
VALUES (
    %(symbol)s, %(variant)s, 'open', %(qty)s, %(price)s, %(price)s, %(at)s, %(atr_at_entry)s, %(stop_price)s,
    %(stop_pct)s, false, %(risk_usd)s, %(notional_usd)s, %(cap_bound)s, %(universe_id)s, %(at)s)
RETURNING id

-- name: lock_micro
SELECT status, symbol, qty, entry_price FROM micro_positions
WHERE id = %(id)s AND variant_id = %(variant)s FOR UPDATE

-- name: increase
UPDATE micro_positions
SET qty = %(qty)s, entry_price = %(entry_price)s, stop_price = %(stop_price)s, increases = increases + 1,
    notional_usd = notional_usd + %(added_usd)s, updated_at = %(at)s
WHERE id = %(id)s

-- name: move_stop
UPDATE micro_positions
SET stop_price = GREATEST(stop_price, %(stop_price)s), high_water = GREATEST(high_water, %(high_water)s),
    trail_armed = trail_armed OR %(stop_price)s > stop_price, updated_at = %(at)s
WHERE id = %(id)s AND status = 'open'

-- name: close_micro
UPDATE micro_positions
SET status = 'closed', exit_price = %(price)s, closed_at = %(at)s, exit_reason = %(reason)s, fees_usd = %(fees_usd)s,
    pnl_usd = %(pnl_usd)s, updated_at = %(at)s
WHERE id = %(id)s AND variant_id = %(variant)s AND symbol = %(symbol)s AND status = 'open'

-- name: close_paper
UPDATE paper_positions
SET status = 'closed', exit_price = %(price)s, closed_at = %(at)s, exit_reason = %(reason)s, fees_usd = %(fees_usd)s,
    pnl_usd = %(pnl_usd)s
WHERE id = %(id)s AND symbol = %(symbol)s AND status = 'open'

-- name: exists
SELECT EXISTS (SELECT FROM micro_positions WHERE id = %(id)s AND variant_id = %(variant)s AND symbol = %(symbol)s)
    OR EXISTS (SELECT FROM paper_positions WHERE id = %(id)s AND symbol = %(symbol)s)

-- name: note_excursions
UPDATE micro_positions SET mae_r = %(mae_r)s, mfe_r = %(mfe_r)s WHERE id = %(id)s AND variant_id = %(variant)s

-- name: note_downtime
UPDATE micro_positions SET downtime = true WHERE id = %(id)s AND variant_id = %(variant)s
