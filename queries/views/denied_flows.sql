-- id: denied_flows
-- title: Flows that a rule refused
-- params: none
-- columns: those of flows
-- order: none
SELECT * FROM flows WHERE decision = 'deny'
