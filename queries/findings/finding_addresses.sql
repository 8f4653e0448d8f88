-- id: finding_addresses
-- title: The far ends of each finding's denied flows
-- params: none
-- columns: finding, peers (ip, tuples)
-- order: finding
WITH peers AS (
    SELECT finding, unnest(peers) AS p FROM denied
)
SELECT finding, addresses(p['ip'], p['tuples']) AS peers
FROM peers
GROUP BY finding
ORDER BY finding
