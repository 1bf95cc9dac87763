-- 014_one_open_position.up.sql: the ATR at entry, whose position it is, at most one open row a symbol and variant, and a
-- heartbeat of the scanner. Databases of the earlier bot hold several open rows of one symbol: the oldest stays open, the
-- others become 'superseded' and are listed in superseded_positions, from which the way back restores them. No row is
-- deleted. The earlier bot's INSERTs go on working: the new columns have defaults or may be null.
ALTER TABLE paper_positions ADD COLUMN atr_at_entry double precision;
ALTER TABLE micro_positions ADD COLUMN atr_at_entry double precision;

-- The variant is the database's, and the default makes it so for writers that do not know the column. The runner passes
-- the name in `sigil.variant`; the default has to be the word itself, since the setting is gone with the transaction.
ALTER TABLE micro_positions ADD COLUMN variant_id text;
DO $$
BEGIN
    EXECUTE format('ALTER TABLE micro_positions ALTER COLUMN variant_id SET DEFAULT %L', current_setting('sigil.variant'));
    EXECUTE format('UPDATE micro_positions SET variant_id = %L', current_setting('sigil.variant'));
END
$$;
ALTER TABLE micro_positions ALTER COLUMN variant_id SET NOT NULL;

CREATE TABLE superseded_positions (
    position_id    bigint PRIMARY KEY REFERENCES micro_positions (id),
    kept_id        bigint      NOT NULL REFERENCES micro_positions (id),
    status_before  text        NOT NULL,
    superseded_at  timestamptz NOT NULL DEFAULT now()
);
INSERT INTO superseded_positions (position_id, kept_id, status_before)
SELECT id, kept_id, status
FROM (
    SELECT id, status, first_value(id) OVER (PARTITION BY symbol, variant_id ORDER BY opened_at, id) AS kept_id
    FROM micro_positions
    WHERE status = 'open'
) AS open_rows
WHERE id <> kept_id;
UPDATE micro_positions SET status = 'superseded' WHERE id IN (SELECT position_id FROM superseded_positions);

CREATE UNIQUE INDEX idx_micro_positions_open_symbol_variant ON micro_positions (symbol, variant_id) WHERE status = 'open';

CREATE TABLE scanner_heartbeat (
    variant_id       text PRIMARY KEY,
    last_scan_start  timestamptz,
    last_scan_end    timestamptz,
    updated_at       timestamptz NOT NULL DEFAULT now()
);
