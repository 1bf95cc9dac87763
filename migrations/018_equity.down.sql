-- 018_equity.down.sql: loses the equity curve.
DROP TABLE equity_snapshots;
