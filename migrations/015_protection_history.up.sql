-- 015_protection_history.up.sql: why a symbol is barred and since when, every change to that, and every act of a person.
ALTER TABLE symbol_protections
    ADD COLUMN last_violation_at timestamptz,
    ADD COLUMN reason text,
    ADD COLUMN updated_at timestamptz;

CREATE TABLE protection_events (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    symbol           text        NOT NULL,
    at               timestamptz NOT NULL,
    kind             text        NOT NULL,
    actor            text        NOT NULL,
    reason           text        NOT NULL,
    expires_at       timestamptz,
    ban_until        timestamptz,
    violation_count  integer     NOT NULL,
    written_at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_protection_events_symbol ON protection_events (symbol, id);

CREATE TABLE operator_acts (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL,
    actor       text        NOT NULL,
    act         text        NOT NULL,
    symbol      text,
    reason      text        NOT NULL,
    written_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_operator_acts_at ON operator_acts (at);
