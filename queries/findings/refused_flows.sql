-- id: refused_flows
-- title: All denied flows that the near end's list of rules refused, to be tried against changed rules
-- params: none
-- columns: direction, acl (in lower case), candidates (empty: none), protocol, port (null: not told apart), tuples, peers (ip, tuples)
-- order: direction, acl, candidates, protocol, port
--
-- A list keeps at most 32,769 peers, so tuples may be more than those of the peers.
WITH refused AS (
    SELECT direction, lower(acl) AS acl, coalesce(candidates, '') AS candidates, protocol, port, hours, peers
    FROM matched
    WHERE decision = 'deny' AND vantage = 'near'
),
counts AS (
    SELECT direction, acl, candidates, protocol, port, CAST(sum(h['tuples']) AS BIGINT) AS tuples
    FROM (SELECT direction, acl, candidates, protocol, port, unnest(hours) AS h FROM refused)
    GROUP BY direction, acl, candidates, protocol, port
),
ends AS (
    SELECT direction, acl, candidates, protocol, port, addresses(peers) AS peers
    FROM refused
    GROUP BY direction, acl, candidates, protocol, port
)
SELECT c.direction, c.acl, c.candidates, c.protocol, c.port, c.tuples, e.peers
FROM counts c
JOIN ends e
    ON e.direction = c.direction AND e.acl = c.acl AND e.candidates = c.candidates AND e.protocol = c.protocol
    AND e.port IS NOT DISTINCT FROM c.port
ORDER BY c.direction, c.acl, c.candidates, c.protocol, c.port
