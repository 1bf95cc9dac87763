-- 022: one delivery for each alert and channel, so that a channel that fails makes no other one get a message twice; and how
-- each channel stands, so that one that is down is asked seldom.
CREATE TABLE alert_deliveries (
    alert_id         bigint      NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
    channel          text        NOT NULL,                  -- scheme and a number made from the address, never the address
    state            text        NOT NULL DEFAULT 'waiting'
                     CHECK (state IN ('waiting', 'sending', 'sent', 'filtered', 'given_up')),
    attempts         integer     NOT NULL DEFAULT 0,
    next_attempt_at  timestamptz NOT NULL,
    claim            text,                                  -- of the sender that is at it
    leased_until     timestamptz,                           -- when others may take it over
    doubtful         boolean     NOT NULL DEFAULT false,    -- an earlier attempt may have arrived: nobody heard the answer
    settled_at       timestamptz,
    last_error       text,
    PRIMARY KEY (alert_id, channel)
);
CREATE INDEX alert_deliveries_pending ON alert_deliveries (channel, alert_id) WHERE state IN ('waiting', 'sending');

CREATE TABLE alert_channels (
    channel          text        PRIMARY KEY,
    failures         integer     NOT NULL DEFAULT 0,        -- in a row
    next_attempt_at  timestamptz NOT NULL,
    last_sent_at     timestamptz,
    failing_since    timestamptz,
    last_error       text
);

-- Attempts belong to a delivery now.
ALTER TABLE alerts DROP COLUMN attempts, DROP COLUMN next_attempt_at, DROP COLUMN last_error;
ALTER TABLE alerts RENAME COLUMN sent_at TO settled_at;
CREATE INDEX alerts_waiting ON alerts (id) WHERE state = 'waiting';
