-- 019: what a paper session runs on and what it has processed, so that a crash changes nothing: after a restart the recorded
-- minutes are fed again and the recorded entries are taken as they were. Going back loses the record; positions stay.
CREATE TABLE paper_sessions (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started_at  timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz,
    settings    jsonb       NOT NULL,   -- every key path of the variant
    symbols     text[]      NOT NULL,   -- the pool, as Jesse writes symbols, in the order of the minutes' candles
    start_ms    bigint      NOT NULL,   -- open time of the first minute
    warmup      bytea       NOT NULL    -- candles before it, compressed
);
CREATE UNIQUE INDEX idx_paper_sessions_running ON paper_sessions ((true)) WHERE ended_at IS NULL;

CREATE TABLE paper_minutes (
    session_id  bigint  NOT NULL REFERENCES paper_sessions (id) ON DELETE CASCADE,
    open_ms     bigint  NOT NULL,
    candles     bytea   NOT NULL,       -- float64 rows: number of the symbol, then open, close, high, low, volume
    written_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (session_id, open_ms)
);
