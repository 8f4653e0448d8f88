-- id: activity
-- title: Whether a candidate set was still seen when its subnet was last heard of
-- params: none
-- columns: candidates, subnet, is_quiet (no flow at all in the last 24 hours of the subnet)
-- order: none
WITH seen AS (
    SELECT candidates, subnet, unnest(hours) AS h FROM matched WHERE candidates IS NOT NULL
),
last_flows AS (
    SELECT candidates, subnet, max(h['last']) AS last_flow FROM seen GROUP BY candidates, subnet
)
SELECT l.candidates, l.subnet, l.last_flow <= e.last_flow - INTERVAL '24 hours' AS is_quiet
FROM last_flows l
JOIN subnet_ends e ON e.subnet = l.subnet
