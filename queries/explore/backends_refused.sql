-- id: backends_refused
-- title: Refused backends: denied destinations on ports that no requirement names
-- params: $subnet prefix = null: only flows that start in this subnet
--         $limit integer = 50: rows to show
-- columns: dst_ip, service_tag, dst_port, protocol, direction, rule, nsg, denied_tuples, sources, first_denied, last_denied, acl
-- order: denied_tuples descending, dst_ip, dst_port, protocol, direction, rule, acl
--
-- Denied outbound flows, and denied inbound flows from private addresses, on ports that no outbound or internal requirement
-- names. A requirement for all ports names none. A backend on a port that a requirement does name, such as 443, appears only
-- in top_denied_destinations.
WITH refused AS (
    SELECT
        dst_ip,
        dst_port,
        protocol,
        direction,
        rule,
        min(nsg) AS nsg,
        min(acl) AS acl,
        count(*) AS denied_tuples,
        approx_distinct(src_ip) AS sources,
        min(time) AS first_denied,
        max(time) AS last_denied
    FROM flows
    WHERE decision = 'deny'
        AND (direction = 'outbound' OR is_private(src_ip))
        AND ($subnet IS NULL OR ip_in(src_ip, $subnet))
    GROUP BY dst_ip, dst_port, protocol, direction, rule, lower(acl)
)
SELECT
    dst_ip,
    service_tag(dst_ip) AS service_tag,
    dst_port,
    protocol,
    direction,
    rule,
    nsg,
    denied_tuples,
    sources,
    first_denied,
    last_denied,
    acl
FROM refused r
WHERE NOT EXISTS (
    SELECT 1
    FROM requirement_ports p
    WHERE p.direction <> 'inbound'
        AND p.protocol = r.protocol
        AND r.dst_port BETWEEN p.port_low AND p.port_high
        AND (p.port_low > 0 OR p.port_high < 65535)
)
ORDER BY denied_tuples DESC, dst_ip, dst_port, protocol, direction, rule, acl
LIMIT $limit
