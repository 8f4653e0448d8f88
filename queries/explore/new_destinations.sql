-- id: new_destinations
-- title: Destinations that were first seen after a point in time
-- params: $since time: destinations first seen at or after this time are new
--         $limit integer = 100: rows to show
-- columns: dst_ip, service_tag, dst_port, protocol, first_flow, last_flow, first_source, sources, tuples, denied_tuples, bytes
-- order: first_flow, dst_ip, dst_port, protocol
--
-- A destination is new if the logs have no earlier flow to it, so read older logs as well. Outbound flows only. A large number
-- of sources is an estimate.
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
