-- 018_equity.up.sql: the wallet over time, marked at the close of each minute that was recorded: equity = cash + marks.
CREATE TABLE equity_snapshots (
    at              timestamptz PRIMARY KEY,
    cash_usd        double precision NOT NULL,
    positions_usd   double precision NOT NULL,
    equity_usd      double precision NOT NULL,
    open_positions  integer          NOT NULL
);
