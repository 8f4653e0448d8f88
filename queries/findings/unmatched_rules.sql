-- id: unmatched_rules
-- title: Denied flows in scope that no requirement asks for, by the rule that refused them
-- params: none
-- columns: direction, rule, acl, ports, tuples, peers (distinct), all_tuples and all_peers (of all rules)
-- order: tuples descending, direction, rule, acl
--
-- Refusals of the Internet are left out, but for those on a port of the table.
WITH refused AS (
    SELECT dense_rank() OVER (ORDER BY direction, rule, lower(acl)) AS kind, direction, rule, acl, port, hours, peers
    FROM matched
    WHERE decision = 'deny' AND candidates IS NULL AND port IS NOT NULL
),
counts AS (
    SELECT kind, direction, rule, acl, port, unnest(hours) AS h FROM refused
),
tuples AS (
    SELECT kind, direction, rule, min(acl) AS acl, count(DISTINCT port) AS ports, sum(h['tuples']) AS tuples
    FROM counts
    GROUP BY kind, direction, rule
),
peers AS (
    SELECT kind, busiest(peers, 0)['count'] AS peers FROM refused GROUP BY kind
),
all_peers AS (
    SELECT busiest(peers, 0)['count'] AS all_peers FROM refused
)
SELECT
    t.direction, t.rule, t.acl, t.ports, t.tuples, p.peers,
    sum(t.tuples) OVER () AS all_tuples,
    a.all_peers
FROM tuples t
JOIN peers p ON p.kind = t.kind
CROSS JOIN all_peers a
ORDER BY t.tuples DESC, t.direction, t.rule, t.acl
LIMIT 20
