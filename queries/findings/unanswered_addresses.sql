-- id: unanswered_addresses
-- title: The ends of the connections of each key that get no answer
-- params: none
-- columns: finding, locals and peers (ip, tuples)
-- order: finding
SELECT key AS finding, addresses(locals) AS locals, addresses(peers) AS peers
FROM unanswered
WHERE answer = 'unanswered'
GROUP BY key
ORDER BY key
