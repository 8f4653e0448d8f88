-- id: about_address
-- title: Flows of one address, by peer, port and rule
-- params: $ip address: the address
--         $limit integer = 100: rows to show
-- columns: role, peer, dst_port, protocol, decision, rule, tuples, direction, service_tag, nsg, bytes_sent, bytes_received, first_flow, last_flow, acl
-- order: denied ones first, tuples descending, role, peer, dst_port, protocol, direction, rule, acl
--
-- The role says whether the address is the source or the destination. The service tag is the peer's. Bytes sent go from
-- source to destination. A flow that both ends log appears twice: outbound and inbound.
WITH seen AS (
    SELECT
        *,
        CASE WHEN src_ip = $ip THEN 'source' ELSE 'destination' END AS role,
        CASE WHEN src_ip = $ip THEN dst_ip ELSE src_ip END AS peer
    FROM flows
    WHERE src_ip = $ip OR dst_ip = $ip
)
SELECT
    role,
    peer,
    dst_port,
    protocol,
    decision,
    rule,
    count(*) AS tuples,
    direction,
    service_tag(peer) AS service_tag,
    min(nsg) AS nsg,
    sum(bytes_sent) AS bytes_sent,
    sum(bytes_received) AS bytes_received,
    min(time) AS first_flow,
    max(time) AS last_flow,
    min(acl) AS acl
FROM seen
GROUP BY role, peer, dst_port, protocol, direction, decision, rule, lower(acl)
ORDER BY decision DESC, tuples DESC, role, peer, dst_port, protocol, direction, rule, acl
LIMIT $limit
