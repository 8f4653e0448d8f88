-- id: scope
-- title: Local addresses that API Management shows itself on
-- params: none
-- columns: ip, is_shown (probed, called by the control plane, or answering on its ports)
-- order: none
--
-- Run over the groups of a scope that is not known yet. Answering on a row that allows any port shows nothing.
WITH locals AS (
    SELECT DISTINCT local_ip AS ip FROM flow_groups
),
shown AS (
    SELECT DISTINCT g.local_ip AS ip
    FROM flow_groups g
    JOIN requirement_matches m ON m.protocol = g.protocol AND (m.any_port OR g.port BETWEEN m.port_low AND m.port_high)
    WHERE g.direction = 'inbound'
        AND m.shows_scope
        AND (
            is_load_balancer(g.peer_class)
            OR m.tag_kind = 'named' AND substr(g.peer_class, m.tag_place, 1) = 'y'
            OR NOT m.any_port AND g.decision = 'allow' AND g.answer IN ('answered', 'heard')
        )
)
SELECT l.ip, s.ip IS NOT NULL AS is_shown
FROM locals l
LEFT JOIN shown s ON s.ip = l.ip
