-- Back to 021: which channel got which alert is lost; an alert that still waits for one channel is sent to all of them again.
DROP INDEX alerts_waiting;
ALTER TABLE alerts RENAME COLUMN settled_at TO sent_at;
ALTER TABLE alerts
    ADD COLUMN attempts         integer     NOT NULL DEFAULT 0,
    ADD COLUMN next_attempt_at  timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN last_error       text;
CREATE INDEX alerts_waiting ON alerts (next_attempt_at) WHERE state = 'waiting';
DROP TABLE alert_channels;
DROP TABLE alert_deliveries;
