-- Back to 022: the verdicts of the gate are lost.
DROP TABLE gate_verdicts;
