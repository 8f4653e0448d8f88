-- id: unmatched
-- title: Denied flows in scope that no requirement asks for, the busiest first
-- params: none
-- columns: nr, direction, subnet, remote, port, protocol, rule, acl, denied_tuples, first_denied, last_denied, last_allowed_before
-- order: nr
--
-- Refusals of the Internet are noise, and only counted, but for those on a port of the table.
WITH refused AS (
    SELECT direction, subnet, port, protocol, rule, acl, unnest(peers) AS p
    FROM matched
    WHERE decision = 'deny' AND candidates IS NULL AND port IS NOT NULL
),
summed AS (
    SELECT
        direction, min(subnet) AS subnet, p['ip'] AS remote, port, protocol, rule, min(acl) AS acl,
        sum(p['tuples']) AS denied_tuples,
        min(p['first']) AS first_denied,
        max(p['last']) AS last_denied
    FROM refused
    GROUP BY direction, p['ip'], port, protocol, rule, lower(acl)
),
ranked AS (
    SELECT
        row_number() OVER (ORDER BY denied_tuples DESC, direction, remote, port, protocol, rule, lower(acl)) AS nr,
        *
    FROM summed
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
SELECT r.* EXCEPT (remote), ip_text(r.remote) AS remote, a.last_allowed_before
FROM ranked r
LEFT JOIN allowed a ON a.nr = r.nr
ORDER BY r.nr
