-- 016_universe_scans.down.sql: loses all scans, the counts of refusals and the prices that made each signal.
ALTER TABLE signals DROP COLUMN close, DROP COLUMN highest_high;
DROP TABLE refusals, universe_rows, universe_scans;
