-- 017_position_details.down.sql: positions keep what the earlier bot knew of them; stops, sizes and excursions are lost.
ALTER TABLE micro_positions
    DROP COLUMN stop_price, DROP COLUMN stop_pct, DROP COLUMN trail_armed, DROP COLUMN risk_usd,
    DROP COLUMN notional_usd, DROP COLUMN cap_bound, DROP COLUMN universe_id, DROP COLUMN increases,
    DROP COLUMN mae_r, DROP COLUMN mfe_r, DROP COLUMN exit_detail, DROP COLUMN downtime, DROP COLUMN updated_at;
