-- id: new_destinations
-- title: Destinations that nobody went to before
-- params: $since time: when new begins
--         $limit integer = 100: rows to show
-- columns: dst_ip, service_tag, dst_port, protocol, first_flow, last_flow, first_source, sources, tuples, denied_tuples, bytes
-- order: first_flow, dst_ip, dst_port, protocol
--
-- New is what the logs do not hold before: read some that are older. Outbound flows only. The number of sources is an
-- estimate once it is large.
SELECT
    dst_ip,
    service_tag(dst_ip) AS service_tag,
    dst_port,
    protocol,
    min(time) AS first_flow,
    max(time) AS last_flow,
    first_value(src_ip ORDER BY time, src_ip) AS first_source,
    approx_distinct(src_ip) AS sources,
    count(*) AS tuples,
    count(*) FILTER (WHERE decision = 'deny') AS denied_tuples,
    coalesce(sum(coalesce(bytes_sent, 0) + coalesce(bytes_received, 0)), 0) AS bytes
FROM flows
WHERE direction = 'outbound'
GROUP BY dst_ip, dst_port, protocol
HAVING min(time) >= $since
ORDER BY first_flow, dst_ip, dst_port, protocol
LIMIT $limit
