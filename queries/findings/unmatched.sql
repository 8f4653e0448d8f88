-- id: unmatched
-- title: Denied flows in scope that no requirement waits for, the busiest first
-- params: none
-- columns: nr, direction, remote, port, protocol, rule, acl, denied_tuples
-- order: nr
--
-- What the Internet knocks at is noise, and only counted.
WITH refused AS (
    SELECT direction, port, protocol, rule, acl, unnest(peers) AS p
    FROM matched
    WHERE decision = 'deny' AND candidates IS NULL AND NOT (direction = 'inbound' AND peer_is_internet)
),
joined AS (
    SELECT direction, port, protocol, rule, min(acl) AS acl, addresses(p['ip'], p['tuples']) AS peers
    FROM refused
    GROUP BY direction, port, protocol, rule, lower(acl)
),
peers AS (
    SELECT direction, port, protocol, rule, acl, unnest(peers) AS p FROM joined
),
summed AS (
    SELECT direction, p['ip'] AS remote, port, protocol, rule, acl, p['tuples'] AS denied_tuples FROM peers
)
SELECT
    row_number() OVER (ORDER BY denied_tuples DESC, direction, remote, port, protocol, rule, acl) AS nr,
    *
FROM summed
ORDER BY nr
LIMIT 100
