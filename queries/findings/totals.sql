-- id: totals
-- title: How much of the input lies in scope
-- params: none
-- columns: tuples_in_scope, denied_in_scope, inbound_internet_tuples (denied, of no requirement)
-- order: one row
--
-- Inbound flows of the Internet that no requirement waits for are noise: scanners, mostly.
WITH hours AS (
    SELECT decision, candidates, direction, peer_is_internet, unnest(hours) AS h FROM matched
)
SELECT
    coalesce(sum(h['tuples']), 0) AS tuples_in_scope,
    coalesce(sum(h['tuples']) FILTER (WHERE decision = 'deny'), 0) AS denied_in_scope,
    coalesce(sum(h['tuples']) FILTER (WHERE decision = 'deny' AND candidates IS NULL AND direction = 'inbound' AND peer_is_internet), 0)
        AS inbound_internet_tuples
FROM hours
