-- 016_universe_scans.up.sql: every scan of the pool with a reason for every symbol, what made each signal, and how often
-- the guard refused which symbol for what.
CREATE TABLE universe_scans (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL,
    written_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_universe_scans_at ON universe_scans (at);

CREATE TABLE universe_rows (
    scan_id   bigint  NOT NULL REFERENCES universe_scans (id) ON DELETE CASCADE,
    place     integer NOT NULL,   -- the order of the scan
    symbol    text    NOT NULL,
    accepted  boolean NOT NULL,
    reason    text    NOT NULL,
    score     double precision,
    rank      integer,
    measures  jsonb   NOT NULL DEFAULT '{}',
    PRIMARY KEY (scan_id, place)
);
CREATE INDEX idx_universe_rows_symbol ON universe_rows (symbol);

CREATE TABLE refusals (
    symbol    text        NOT NULL,
    reason    text        NOT NULL,
    bars      bigint      NOT NULL DEFAULT 0,   -- bars on which the guard was shut for this reason
    signals   bigint      NOT NULL DEFAULT 0,   -- of these, bars on which the entry rules would have entered
    first_at  timestamptz NOT NULL,
    last_at   timestamptz NOT NULL,
    PRIMARY KEY (symbol, reason)
);

ALTER TABLE signals ADD COLUMN close double precision, ADD COLUMN highest_high double precision;
