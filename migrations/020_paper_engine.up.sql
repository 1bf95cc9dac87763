-- 020: what a paper session that lives for weeks needs: progress in the heartbeat, checkpoints so that a restart is quick,
-- minutes that were fetched after an outage, requests of people to a running session, closings by hand, what the feed met.
ALTER TABLE scanner_heartbeat
    ADD COLUMN last_candle  timestamptz,   -- end of the last minute processed
    ADD COLUMN last_write   timestamptz,   -- by the database's clock
    ADD COLUMN session_id   bigint,
    ADD COLUMN pid          integer,
    ADD COLUMN host         text,
    ADD COLUMN feed         text,          -- replay, exchange, redis
    ADD COLUMN state        text;          -- running, stopped (may go on), ended

ALTER TABLE paper_sessions
    ADD COLUMN feed      text  NOT NULL DEFAULT 'replay',
    ADD COLUMN strategy  jsonb,                        -- what runs where it is not a variant: module:Class and its account
    ADD COLUMN trades_from_ms  bigint,                 -- nothing is scanned or entered before; null: from start_ms on
    ADD COLUMN cash_usd  double precision,             -- the wallet at the start; null: the starting balance
    ADD COLUMN positions_after bigint NOT NULL DEFAULT 0,  -- its own rows of micro_positions have higher ids
    ADD COLUMN adopted   jsonb NOT NULL DEFAULT '[]';  -- open positions that the session found and manages
ALTER TABLE paper_minutes ADD COLUMN downtime boolean NOT NULL DEFAULT false;

CREATE TABLE paper_checkpoints (
    session_id  bigint      NOT NULL REFERENCES paper_sessions (id) ON DELETE CASCADE,
    open_ms     bigint      NOT NULL,      -- the last minute that is in it
    state       bytea       NOT NULL,
    written_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (session_id, open_ms)
);

CREATE TABLE session_requests (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at           timestamptz NOT NULL DEFAULT now(),
    actor        text        NOT NULL,
    act          text        NOT NULL CHECK (act IN ('close', 'flatten')),
    symbol       text,                     -- as rows name it; none for all
    exit_reason  text        NOT NULL,
    reason       text        NOT NULL,
    done_at      timestamptz,
    outcome      text
);

CREATE TABLE paper_closings (
    session_id   bigint NOT NULL REFERENCES paper_sessions (id) ON DELETE CASCADE,
    open_ms      bigint NOT NULL,          -- after this minute
    symbol       text   NOT NULL,
    exit_reason  text   NOT NULL,
    PRIMARY KEY (session_id, open_ms, symbol)
);

CREATE TABLE feed_events (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id  bigint      NOT NULL REFERENCES paper_sessions (id) ON DELETE CASCADE,
    at          timestamptz NOT NULL,
    kind        text        NOT NULL,
    symbol      text,
    detail      text        NOT NULL
);
CREATE INDEX feed_events_at ON feed_events (at);
