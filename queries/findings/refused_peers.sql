-- id: refused_peers
-- title: The refused peers of each finding that are compared one by one
-- params: none
-- columns: finding, direction, subnet, port, protocol, peer, tuples, first_denied
-- order: none
--
-- Of flows that no requirement asks for only peers that were let through matter; of possible strangers all do.
WITH contacted AS (
    SELECT DISTINCT peer FROM contacts
),
lone_peers AS (
    SELECT finding, direction, subnet, port, protocol, unnest(peers) AS p FROM denied WHERE candidates IS NULL
),
denied_peers AS (
    SELECT l.* FROM lone_peers l JOIN contacted c ON c.peer = l.p['ip']
    UNION ALL
    SELECT finding, direction, subnet, port, protocol, unnest(peers) AS p
    FROM denied
    WHERE candidates IS NOT NULL AND direction = 'inbound' AND unknown_count = candidate_count
)
SELECT
    finding, direction, subnet, port, protocol, p['ip'] AS peer,
    sum(p['tuples']) AS tuples,
    min(p['first']) AS first_denied
FROM denied_peers
GROUP BY finding, direction, subnet, port, protocol, p['ip']
