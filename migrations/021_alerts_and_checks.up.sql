-- 021: alerts wait in an outbox until they are delivered; what the probe and the audit found, and what is still wrong.
CREATE TABLE alerts (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at               timestamptz NOT NULL,                  -- when it happened
    event            text        NOT NULL,                  -- entry, exit, breaker, probe, ...
    reason           text,                                  -- of an exit or a refusal: filters go by it
    title            text        NOT NULL,
    body             text        NOT NULL,
    key              text UNIQUE,                           -- one message per incident: a second one is not written
    created_at       timestamptz NOT NULL DEFAULT now(),
    state            text        NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'filtered', 'given_up')),
    attempts         integer     NOT NULL DEFAULT 0,
    next_attempt_at  timestamptz NOT NULL DEFAULT now(),
    sent_at          timestamptz,
    last_error       text
);
CREATE INDEX alerts_waiting ON alerts (next_attempt_at) WHERE state = 'waiting';

CREATE TABLE incidents (
    key           text        PRIMARY KEY,                  -- probe:stale_scan, feed:lost, ...
    opened_at     timestamptz NOT NULL DEFAULT now(),
    last_seen_at  timestamptz NOT NULL DEFAULT now(),
    detail        text        NOT NULL
);

CREATE TABLE probe_runs (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        timestamptz NOT NULL DEFAULT now(),
    host      text        NOT NULL,
    findings  jsonb       NOT NULL,                         -- [] when all is well
    took_ms   integer     NOT NULL
);

CREATE TABLE audits (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at             timestamptz NOT NULL DEFAULT now(),
    session_id     bigint      NOT NULL,
    since          timestamptz NOT NULL,
    until          timestamptz NOT NULL,
    matched        integer     NOT NULL,
    paper_only     integer     NOT NULL,
    backtest_only  integer     NOT NULL,
    differing      integer     NOT NULL,
    unexplained    integer     NOT NULL,                    -- of the three before, those without a known cause
    report         jsonb       NOT NULL
);
