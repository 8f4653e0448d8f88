-- id: vnet_mode
-- title: What the logs show of how the instance is joined to its network
-- params: none
-- columns: is_external (clients on the Internet are answered), is_likely_internal (callers of the network are, and no client on
--          the Internet is let in)
-- order: one row
--
-- Proof takes ten answered calls from three addresses: one call may be a scanner that a backend entertained.
WITH callers AS (
    SELECT unnest(peers) AS p, hours FROM flow_groups WHERE is_call
),
calls AS (
    SELECT unnest(hours) AS h FROM flow_groups WHERE is_call
),
proof AS (
    SELECT
        (SELECT count(DISTINCT p['ip']) FROM callers) >= 3 AND (SELECT coalesce(sum(h['tuples']), 0) FROM calls) >= 10
            AS is_external
),
let_in AS (
    SELECT
        coalesce(bool_or(m.role = 'client' AND g.peer_is_internet), false) AS has_internet_client,
        coalesce(bool_or(
            m.role = 'client-vnet'
            AND substr(g.peer_class, m.tag_place, 1) = 'y'
            AND NOT is_load_balancer(g.peer_class)
            AND g.answer IN ('answered', 'heard')
        ), false) AS has_network_caller
    FROM flow_groups g
    JOIN requirement_matches m
        ON m.direction = g.direction AND m.protocol = g.protocol AND g.port BETWEEN m.port_low AND m.port_high
    WHERE g.direction = 'inbound' AND g.decision = 'allow' AND m.role IN ('client', 'client-vnet')
)
SELECT p.is_external, l.has_network_caller AND NOT l.has_internet_client AND NOT p.is_external AS is_likely_internal
FROM proof p CROSS JOIN let_in l
