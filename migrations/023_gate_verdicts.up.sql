-- 023: every verdict of the graduation gate, with all it was made of. Who asks daily until it passes has asked often, and
-- `looks` says how often.
CREATE TABLE gate_verdicts (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        timestamptz NOT NULL DEFAULT now(),
    since     timestamptz,                          -- the period that was judged; null: nothing was recorded
    until     timestamptz,
    outcome   text        NOT NULL CHECK (outcome IN ('pass', 'fail', 'not_yet')),
    looks     integer     NOT NULL,                 -- how often the gate was asked about the period that begins at `since`
    asked_by  text        NOT NULL,
    document  jsonb       NOT NULL,
    CHECK (since IS NOT NULL OR outcome <> 'pass')
);
CREATE INDEX gate_verdicts_since ON gate_verdicts (since);
