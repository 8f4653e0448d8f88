-- id: east_west
-- title: Traffic between subnets
-- params: $limit integer = 50: rows to show
-- columns: source, destination, direction, bytes, allowed_tuples, denied_tuples, ports, first_flow, last_flow
-- order: bytes descending, allowed_tuples descending, denied_tuples descending, source, destination, direction
--
-- Flow logs do not name subnets: IPv4 addresses are grouped by /24, IPv6 addresses are not grouped. A flow between two logged
-- interfaces appears twice: outbound at the source, inbound at the destination.
WITH placed AS (
    SELECT
        CASE WHEN strpos(src_ip, ':') > 0 THEN src_ip ELSE substr_index(src_ip, '.', 3) || '.0/24' END AS source,
        CASE WHEN strpos(dst_ip, ':') > 0 THEN dst_ip ELSE substr_index(dst_ip, '.', 3) || '.0/24' END AS destination,
        direction,
        time,
        dst_port,
        decision,
        coalesce(bytes_sent, 0) + coalesce(bytes_received, 0) AS bytes
    FROM flows
    WHERE is_private(src_ip) AND is_private(dst_ip)
)
SELECT
    source,
    destination,
    direction,
    sum(bytes) AS bytes,
    count(*) FILTER (WHERE decision = 'allow') AS allowed_tuples,
    count(*) FILTER (WHERE decision = 'deny') AS denied_tuples,
    count(DISTINCT dst_port) AS ports,
    min(time) AS first_flow,
    max(time) AS last_flow
FROM placed
GROUP BY source, destination, direction
ORDER BY bytes DESC, allowed_tuples DESC, denied_tuples DESC, source, destination, direction
LIMIT $limit
