-- id: inbound_scanners
-- title: Internet addresses whose flows were denied
-- params: $limit integer = 20: rows to show
-- columns: src_ip, service_tag, ports, destinations, denied_tuples, first_denied, last_denied
-- order: ports descending, destinations descending, denied_tuples descending, src_ip
--
-- Scanners try many ports. An address that keeps trying one port is more likely a client that should be allowed. An address
-- with a service tag belongs to Azure. A large number of destinations is an estimate.
SELECT
    src_ip,
    service_tag(src_ip) AS service_tag,
    count(DISTINCT dst_port) AS ports,
    approx_distinct(dst_ip) AS destinations,
    count(*) AS denied_tuples,
    min(time) AS first_denied,
    max(time) AS last_denied
FROM flows
WHERE decision = 'deny' AND direction = 'inbound' AND NOT is_private(src_ip)
GROUP BY src_ip
ORDER BY ports DESC, destinations DESC, denied_tuples DESC, src_ip
LIMIT $limit
