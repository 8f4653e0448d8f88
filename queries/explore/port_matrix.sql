-- id: port_matrix
-- title: Ports of a subnet: allowed and denied flows, inbound, outbound and inside
-- params: $subnet prefix: the subnet
--         $limit integer = 100: rows to show
-- columns: dst_port, protocol, tuples, in_allowed, in_denied, out_allowed, out_denied, inside_allowed, inside_denied
-- order: tuples descending, dst_port, protocol
--
-- In and out are seen from the subnet, whichever end logged the flow. A flow that both ends log counts twice. An allowed flow
-- has several tuples, a denied attempt has one.
WITH placed AS (
    SELECT
        dst_port,
        protocol,
        decision = 'allow' AS is_allowed,
        CASE
            WHEN NOT ip_in(src_ip, $subnet) THEN 'in'
            WHEN NOT ip_in(dst_ip, $subnet) THEN 'out'
            ELSE 'inside'
        END AS way
    FROM flows
    WHERE ip_in(src_ip, $subnet) OR ip_in(dst_ip, $subnet)
)
SELECT
    dst_port,
    protocol,
    count(*) AS tuples,
    count(*) FILTER (WHERE way = 'in' AND is_allowed) AS in_allowed,
    count(*) FILTER (WHERE way = 'in' AND NOT is_allowed) AS in_denied,
    count(*) FILTER (WHERE way = 'out' AND is_allowed) AS out_allowed,
    count(*) FILTER (WHERE way = 'out' AND NOT is_allowed) AS out_denied,
    count(*) FILTER (WHERE way = 'inside' AND is_allowed) AS inside_allowed,
    count(*) FILTER (WHERE way = 'inside' AND NOT is_allowed) AS inside_denied
FROM placed
GROUP BY dst_port, protocol
ORDER BY tuples DESC, dst_port, protocol
LIMIT $limit
