-- id: unmatched
-- title: Denied flows in scope that no requirement asks for, the busiest first
-- params: none
-- columns: nr, direction, subnet, remote, port, protocol, rule, acl, denied_tuples, first_denied, last_denied, last_allowed_before
-- order: nr
--
-- Refusals of the Internet are noise, and only counted, but for those on a port of the table.
WITH refused AS (
    SELECT
        dense_rank() OVER (ORDER BY direction, port, protocol, rule, lower(acl)) AS kind,
        dense_rank() OVER (ORDER BY subnet) AS place,
        direction, subnet, port, protocol, rule, acl, peers
    FROM matched
    WHERE decision = 'deny' AND candidates IS NULL AND port IS NOT NULL
),
-- Numbers in place of texts: the peers may be many.
peers AS (
    SELECT kind, place, unnest(peers) AS p FROM refused
),
summed AS (
    SELECT
        kind, p['ip'] AS remote, min(place) AS place,
        sum(p['tuples']) AS denied_tuples, min(p['first']) AS first_denied, max(p['last']) AS last_denied
    FROM peers
    GROUP BY kind, p['ip']
),
kinds AS (
    SELECT kind, direction, port, protocol, rule, min(acl) AS acl FROM refused GROUP BY kind, direction, port, protocol, rule
),
places AS (
    SELECT DISTINCT place, subnet FROM refused
),
ranked AS (
    SELECT
        row_number() OVER (
            ORDER BY s.denied_tuples DESC, k.direction, s.remote, k.port, k.protocol, k.rule, lower(k.acl)
        ) AS nr,
        k.direction, s.place, s.remote, k.port, k.protocol, k.rule, k.acl, s.denied_tuples, s.first_denied, s.last_denied
    FROM summed s
    JOIN kinds k ON k.kind = s.kind
    ORDER BY nr
    LIMIT 100
),
new_contacts AS (
    SELECT c.direction, c.peer, c.port, c.protocol, unnest(c.hours) AS h
    FROM contacts c CROSS JOIN log_states l
    WHERE c.is_new OR NOT l.has_begin
),
allowed_hours AS (
    SELECT r.nr, r.first_denied, min(c.h['first']) AS first, max(c.h['last']) AS last
    FROM ranked r
    JOIN new_contacts c
        ON c.direction = r.direction AND c.peer = r.remote AND c.port = r.port AND c.protocol = r.protocol
    GROUP BY r.nr, r.first_denied, c.h['hour']
),
allowed AS (
    SELECT nr, max(CASE WHEN last < first_denied THEN last WHEN first < first_denied THEN first END) AS last_allowed_before
    FROM allowed_hours
    GROUP BY nr
)
SELECT r.* EXCEPT (remote, place), p.subnet, ip_text(r.remote) AS remote, a.last_allowed_before
FROM ranked r
JOIN places p ON p.place = r.place
LEFT JOIN allowed a ON a.nr = r.nr
ORDER BY r.nr
