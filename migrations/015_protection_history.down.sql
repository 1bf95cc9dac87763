-- 015_protection_history.down.sql: loses the history of protections and of operators' acts; the protections stay.
DROP TABLE operator_acts, protection_events;
ALTER TABLE symbol_protections DROP COLUMN last_violation_at, DROP COLUMN reason, DROP COLUMN updated_at;
