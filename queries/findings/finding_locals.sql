-- id: finding_locals
-- title: The scope's own addresses in each finding, the busiest first
-- params: none
-- columns: finding, ip, denied_tuples
-- order: finding, denied_tuples descending, ip
WITH hours AS (
    SELECT finding, local_ip, unnest(hours) AS h FROM denied
)
SELECT finding, local_ip AS ip, sum(h['tuples']) AS denied_tuples
FROM hours
GROUP BY finding, local_ip
ORDER BY finding, denied_tuples DESC, ip
