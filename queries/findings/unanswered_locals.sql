-- id: unanswered_locals
-- title: The scope's own addresses that get no answer, of each key, the busiest first
-- params: none
-- columns: finding, ip, tuples
-- order: finding, tuples descending, ip
WITH hours AS (
    SELECT key, local_ip, unnest(hours) AS h FROM unanswered WHERE answer = 'unanswered'
)
SELECT key AS finding, local_ip AS ip, sum(h['tuples']) AS tuples
FROM hours
GROUP BY key, local_ip
ORDER BY finding, tuples DESC, ip
