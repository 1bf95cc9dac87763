-- Back to 019: checkpoints, requests, closings by hand and feed events are lost; sessions and minutes stay.
DROP TABLE feed_events;
DROP TABLE paper_closings;
DROP TABLE session_requests;
DROP TABLE paper_checkpoints;
ALTER TABLE paper_minutes DROP COLUMN downtime;
ALTER TABLE paper_sessions DROP COLUMN feed, DROP COLUMN strategy, DROP COLUMN trades_from_ms, DROP COLUMN cash_usd,
    DROP COLUMN positions_after, DROP COLUMN adopted;
ALTER TABLE scanner_heartbeat
    DROP COLUMN last_candle, DROP COLUMN last_write, DROP COLUMN session_id, DROP COLUMN pid, DROP COLUMN host,
    DROP COLUMN feed, DROP COLUMN state;
