-- 013_earlier_bot.down.sql: back to an empty database. Loses everything that was traded and recorded.
DROP TABLE signals, paper_positions, micro_positions, symbol_protections, system_state, schema_migrations;
