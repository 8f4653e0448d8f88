-- id: unmatched_rules
-- title: Denied flows in scope that no requirement asks for, by the rule that refused them
-- params: none
-- columns: direction, rule, acl, ports, tuples, peers (distinct), all_tuples and all_peers (of all rules)
-- order: tuples descending, direction, rule, acl
--
-- Refusals of the Internet are left out, but for those on a port of the table.
WITH refused AS (
    SELECT direction, rule, acl, port, hours, peers
    FROM matched
    WHERE decision = 'deny' AND candidates IS NULL AND port IS NOT NULL
),
counts AS (
    SELECT direction, rule, acl, port, unnest(hours) AS h FROM refused
),
tuples AS (
    SELECT
        direction, rule, lower(acl) AS acl_key, min(acl) AS acl, count(DISTINCT port) AS ports, sum(h['tuples']) AS tuples
    FROM counts
    GROUP BY direction, rule, lower(acl)
),
far_ends AS (
    SELECT direction, rule, lower(acl) AS acl_key, unnest(peers) AS p FROM refused
),
peers AS (
    SELECT direction, rule, acl_key, count(DISTINCT p['ip']) AS peers FROM far_ends GROUP BY direction, rule, acl_key
),
all_peers AS (
    SELECT count(DISTINCT p['ip']) AS all_peers FROM far_ends
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
