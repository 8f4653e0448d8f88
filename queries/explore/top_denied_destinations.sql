-- id: top_denied_destinations
-- title: Destinations with the most denied flows
-- params: $limit integer = 20: rows to show
-- columns: dst_ip, service_tag, dst_port, protocol, rule, nsg, denied_tuples, sources, first_denied, last_denied, acl
-- order: denied_tuples descending, dst_ip, dst_port, protocol, rule, acl
--
-- Flows from the Internet are left out; inbound_scanners shows them. Without a service-tag file, service tags are null.
SELECT
    dst_ip,
    service_tag(dst_ip) AS service_tag,
    dst_port,
    protocol,
    rule,
    min(nsg) AS nsg,
    count(*) AS denied_tuples,
    approx_distinct(src_ip) AS sources,
    min(time) AS first_denied,
    max(time) AS last_denied,
    min(acl) AS acl
FROM flows
WHERE decision = 'deny' AND (direction = 'outbound' OR is_private(src_ip))
GROUP BY dst_ip, dst_port, protocol, rule, lower(acl)
ORDER BY denied_tuples DESC, dst_ip, dst_port, protocol, rule, acl
LIMIT $limit
