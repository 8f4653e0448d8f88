-- id: scope
-- title: Local addresses, and how API Management shows itself on them
-- params: none
-- columns: ip, tuples, acls (lower case, of the NSGs that decided on its flows), shown_by (probed, called by the control
--          plane, or answers on its ports; null where it does not show itself), port (on which)
-- order: ip
--
-- Run over the groups of a look, or of a scope that is not known yet. Answering on a row that allows any port shows nothing.
-- Rules without the prefix of an NSG's are the platform's or an admin's, whose ACLs say nothing about the subnet.
WITH locals AS (
    SELECT ip, sum(h['tuples']) AS tuples
    FROM (SELECT local_ip AS ip, unnest(hours) AS h FROM flow_groups)
    GROUP BY ip
),
decided AS (
    SELECT local_ip AS ip, array_agg(DISTINCT lower(acl)) AS acls
    FROM flow_groups
    WHERE (starts_with(rule, 'UserRule_') OR starts_with(rule, 'DefaultRule_'))
        AND acl NOT IN ('', 'unspecified', '00000000-0000-0000-0000-000000000000')
    GROUP BY local_ip
),
signs AS (
    SELECT
        g.local_ip AS ip, g.port,
        CASE
            WHEN is_load_balancer(g.peer_class) THEN 'probed'
            WHEN m.tag_kind = 'named' AND substr(g.peer_class, m.tag_place, 1) = 'y' THEN 'called'
            WHEN NOT m.any_port AND g.decision = 'allow' AND g.answer IN ('answered', 'heard') THEN 'answers'
        END AS shown_by
    FROM flow_groups g
    JOIN requirement_matches m ON m.protocol = g.protocol AND (m.any_port OR g.port BETWEEN m.port_low AND m.port_high)
    WHERE g.direction = 'inbound' AND m.shows_scope
),
shown AS (
    SELECT
        ip,
        first_value(shown_by ORDER BY shown_by DESC, port) AS shown_by,
        first_value(port ORDER BY shown_by DESC, port) AS port
    FROM signs
    WHERE shown_by IS NOT NULL
    GROUP BY ip
)
SELECT l.ip, l.tuples, d.acls, s.shown_by, s.port
FROM locals l
LEFT JOIN decided d ON d.ip = l.ip
LEFT JOIN shown s ON s.ip = l.ip
ORDER BY l.ip
