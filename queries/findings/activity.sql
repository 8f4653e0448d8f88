-- id: activity
-- title: Whether a candidate set was still seen when its subnet was last heard of
-- params: none
-- columns: candidates, subnet, is_quiet (no flow at all in the last 24 hours of the subnet)
-- order: none
WITH seen AS (
    SELECT candidates, subnet, unnest(hours) AS h FROM matched
),
last_flows AS (
    SELECT candidates, subnet, max(h['last']) AS last_flow FROM seen GROUP BY candidates, subnet
),
ranked AS (
    SELECT *, max(last_flow) OVER (PARTITION BY subnet) AS subnet_last_flow FROM last_flows
)
SELECT candidates, subnet, last_flow <= subnet_last_flow - INTERVAL '24 hours' AS is_quiet
FROM ranked
WHERE candidates IS NOT NULL
