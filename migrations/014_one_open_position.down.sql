-- 014_one_open_position.down.sql: superseded rows get back the status they had, unless something changed them since. Loses
-- the ATR at entry of each position and the heartbeat.
DROP INDEX idx_micro_positions_open_symbol_variant;
UPDATE micro_positions AS p SET status = s.status_before
FROM superseded_positions AS s
WHERE s.position_id = p.id AND p.status = 'superseded';
DROP TABLE superseded_positions;
DROP TABLE scanner_heartbeat;
ALTER TABLE micro_positions DROP COLUMN variant_id, DROP COLUMN atr_at_entry;
ALTER TABLE paper_positions DROP COLUMN atr_at_entry;
