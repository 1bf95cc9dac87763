-- 017_position_details.up.sql: what a restart and a report need of a position: its stop, its size and why, its excursions.
-- universe_id names a row of universe_scans without a foreign key, so that old scans can be cleared away.
ALTER TABLE micro_positions
    ADD COLUMN stop_price    double precision,   -- the resting stop as it stands now
    ADD COLUMN stop_pct      double precision,   -- distance of the hard stop at entry, percent
    ADD COLUMN trail_armed   boolean,
    ADD COLUMN risk_usd      double precision,
    ADD COLUMN notional_usd  double precision,
    ADD COLUMN cap_bound     boolean,
    ADD COLUMN universe_id   bigint,
    ADD COLUMN increases     integer NOT NULL DEFAULT 0,
    ADD COLUMN mae_r         double precision,   -- largest move against and for the position, in units of its risk
    ADD COLUMN mfe_r         double precision,
    ADD COLUMN exit_detail   text,
    ADD COLUMN downtime      boolean NOT NULL DEFAULT false,   -- entered or left on candles fetched after an outage
    ADD COLUMN updated_at    timestamptz;
