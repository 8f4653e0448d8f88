-- id: finding_addresses
-- title: Both ends of each finding's denied flows
-- params: none
-- columns: finding, locals and peers (ip, tuples)
-- order: finding
SELECT finding, addresses(locals) AS locals, addresses(peers) AS peers
FROM denied
GROUP BY finding
ORDER BY finding
