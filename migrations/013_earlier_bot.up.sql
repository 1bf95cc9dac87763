-- 013_earlier_bot.up.sql: the schema of the earlier bot, as its databases are found; Sigil begins here. It brings the table
-- schema_migrations with it, which the runner then keeps. Symbols are stored the exchange's way (TSTUSDT).

CREATE TABLE schema_migrations (
    version     integer PRIMARY KEY,
    name        text        NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now()
);
INSERT INTO schema_migrations (version, name) SELECT v, 'legacy_' || lpad(v::text, 3, '0') FROM generate_series(1, 13) AS v;

CREATE TABLE signals (
    id            bigserial PRIMARY KEY,
    symbol        text        NOT NULL,
    rule          text        NOT NULL,
    score         double precision,
    rsi           double precision,
    volume_ratio  double precision,
    acted         boolean     NOT NULL DEFAULT false,
    reject_reason text,
    created_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_signals_created_at ON signals (created_at);

CREATE TABLE paper_positions (
    id           bigserial PRIMARY KEY,
    symbol       text             NOT NULL,
    status       text             NOT NULL DEFAULT 'open',
    qty          double precision NOT NULL,
    entry_price  double precision NOT NULL,
    opened_at    timestamptz      NOT NULL DEFAULT now(),
    exit_price   double precision,
    closed_at    timestamptz,
    exit_reason  text,
    fees_usd     double precision NOT NULL DEFAULT 0,
    pnl_usd      double precision
);
CREATE UNIQUE INDEX idx_paper_positions_open_symbol ON paper_positions (symbol) WHERE status = 'open';

CREATE TABLE micro_positions (
    id           bigserial PRIMARY KEY,
    symbol       text             NOT NULL,
    status       text             NOT NULL DEFAULT 'open',
    qty          double precision NOT NULL,
    entry_price  double precision NOT NULL,
    high_water   double precision,
    opened_at    timestamptz      NOT NULL DEFAULT now(),
    exit_price   double precision,
    closed_at    timestamptz,
    exit_reason  text,
    fees_usd     double precision NOT NULL DEFAULT 0,
    pnl_usd      double precision
);
CREATE INDEX idx_micro_positions_symbol ON micro_positions (symbol);

CREATE TABLE symbol_protections (
    symbol           text PRIMARY KEY,
    expires_at       timestamptz,
    ban_until        timestamptz,
    violation_count  integer     NOT NULL DEFAULT 0,
    created_at       timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE system_state (
    key         text PRIMARY KEY,
    value       jsonb,
    updated_at  timestamptz NOT NULL DEFAULT now()
);
