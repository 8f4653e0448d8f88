-- id: was
-- title: Whether flows from one end to another were tried, let through or refused, and by which rule
-- params: $source prefix = null: addresses that begin the flows
--         $source_tag text = null: service tag of these addresses
--         $source_name text = null: name of these addresses
--         $destination prefix = null: addresses that the flows go to
--         $destination_tag text = null: service tag of these addresses
--         $destination_name text = null: name of these addresses
--         $port integer = null: destination port
--         $protocol text = null: TCP, UDP or a number
--         $limit integer = 100: rows to show
-- columns: decision, rule, nsg, attempts, tuples, last_flow, first_flow, direction, protocol, dst_port, sources, destinations, unanswered, acl
-- order: denied ones first, last_flow descending, tuples descending, rule, direction, protocol, dst_port, acl
--
-- An attempt is a flow that begins, or a denied one. Unanswered tuples count packets sent and none received. A flow that both
-- ends log appears twice: outbound and inbound. Large numbers of addresses are estimates.
SELECT
    decision,
    rule,
    min(nsg) AS nsg,
    count(*) FILTER (WHERE decision = 'deny' OR state IS NULL OR state = 'begin') AS attempts,
    count(*) AS tuples,
    max(time) AS last_flow,
    min(time) AS first_flow,
    direction,
    protocol,
    dst_port,
    approx_distinct(src_ip) AS sources,
    approx_distinct(dst_ip) AS destinations,
    count(*) FILTER (WHERE packets_sent > 0 AND packets_received = 0) AS unanswered,
    min(acl) AS acl
FROM flows
WHERE ($source IS NULL OR ip_in(src_ip, $source))
    AND ($source_tag IS NULL OR in_service_tag(src_ip, $source_tag))
    AND ($source_name IS NULL OR lower(name(src_ip)) = lower($source_name))
    AND ($destination IS NULL OR ip_in(dst_ip, $destination))
    AND ($destination_tag IS NULL OR in_service_tag(dst_ip, $destination_tag))
    AND ($destination_name IS NULL OR lower(name(dst_ip)) = lower($destination_name))
    AND ($port IS NULL OR dst_port = $port)
    AND ($protocol IS NULL OR protocol = upper($protocol))
GROUP BY decision, rule, direction, protocol, dst_port, lower(acl)
ORDER BY decision DESC, last_flow DESC, tuples DESC, rule, direction, protocol, dst_port, acl
LIMIT $limit
