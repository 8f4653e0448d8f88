-- id: look
-- title: The flows of a look, grouped: a smaller kind of flow_groups
-- params: $ports (a list of the ports on which API Management shows itself)
-- columns: mac, and of flow_groups local_ip, direction, peer_class, port, protocol, decision, answer, rule, acl, hours (tuples)
-- order: none
--
-- Ports, peers and answers are kept of inbound flows on those ports. Of all others only the address and its ACLs count.
WITH looked AS (
    SELECT
        mac, direction, src_ip, protocol, decision, rule, acl,
        CASE WHEN direction = 'outbound' THEN src_ip ELSE dst_ip END AS local_ip,
        CASE WHEN direction = 'inbound' AND array_has($ports, dst_port) THEN dst_port END AS port,
        packets_received > 0 AS is_answered
    FROM looked_flows
),
kept AS (
    SELECT
        mac, direction, local_ip, port, rule, acl,
        CASE WHEN port IS NOT NULL THEN src_ip END AS peer,
        CASE WHEN port IS NOT NULL THEN protocol END AS protocol,
        CASE WHEN port IS NOT NULL THEN decision END AS decision,
        CASE WHEN port IS NOT NULL AND is_answered THEN 'answered' END AS answer
    FROM looked
),
grouped AS (
    SELECT mac, direction, local_ip, port, rule, acl, peer, protocol, decision, answer, count(*) AS tuples
    FROM kept
    GROUP BY mac, direction, local_ip, port, rule, acl, peer, protocol, decision, answer
)
SELECT
    mac, local_ip, direction, class_of(peer) AS peer_class, port, protocol, decision, answer, rule, acl,
    make_array(named_struct('tuples', tuples)) AS hours
FROM grouped
