-- Back to 020: undelivered alerts, open incidents and the findings of probe and audit are lost.
DROP TABLE audits;
DROP TABLE probe_runs;
DROP TABLE incidents;
DROP TABLE alerts;
