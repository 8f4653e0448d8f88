-- id: unanswered_addresses
-- title: The far ends that do not answer, of each key
-- params: none
-- columns: finding, peers (ip, tuples)
-- order: finding
WITH peers AS (
    SELECT key, unnest(peers) AS p FROM unanswered WHERE answer = 'unanswered'
)
SELECT key AS finding, addresses(p['ip'], p['tuples']) AS peers
FROM peers
GROUP BY key
ORDER BY key
