-- Back to 018: the record of paper sessions is lost; their positions, signals and protections stay.
DROP TABLE paper_minutes;
DROP TABLE paper_sessions;
