-- id: unmatched_rules
-- title: Denied flows in scope that no requirement asks for, by the rule that refused them
-- params: none
-- columns: direction, rule, acl, ports, tuples, peers (distinct), all_tuples and all_peers (of all rules)
-- order: tuples descending, direction, rule, acl
--
-- Refusals of the Internet are left out, but for those on a port of the table.
WITH refused AS (
    SELECT direction, rule, lower(acl) AS acl_key, acl, port, hours, peers
    FROM matched
    WHERE decision = 'deny' AND candidates IS NULL AND port IS NOT NULL
),
counts AS (
    SELECT direction, rule, acl_key, acl, port, unnest(hours) AS h FROM refused
),
tuples AS (
    SELECT direction, rule, acl_key, min(acl) AS acl, count(DISTINCT port) AS ports, sum(h['tuples']) AS tuples
    FROM counts
    GROUP BY direction, rule, acl_key
),
peers AS (
    SELECT direction, rule, acl_key, busiest(peers, '')['count'] AS peers FROM refused GROUP BY direction, rule, acl_key
),
all_peers AS (
    SELECT busiest(peers, '')['count'] AS all_peers FROM refused
)
SELECT
    t.direction, t.rule, t.acl, t.ports, t.tuples, p.peers,
    sum(t.tuples) OVER () AS all_tuples,
    a.all_peers
FROM tuples t
JOIN peers p ON p.direction = t.direction AND p.rule = t.rule AND p.acl_key = t.acl_key
CROSS JOIN all_peers a
ORDER BY t.tuples DESC, t.direction, t.rule, t.acl
LIMIT 20
