-- id: top_talkers
-- title: Addresses that transfer the most bytes
-- params: $limit integer = 20: rows to show
-- columns: ip, bytes, bytes_out, bytes_in, packets, tuples, peers, first_flow, last_flow
-- order: bytes descending, ip
--
-- The address is the one at the logging interface: the source of outbound flows, the destination of inbound flows. A flow that
-- both ends log counts once for each end. A flow in both an NSG log and a VNet log counts twice: double_captured shows how
-- much that is, and rekeyed_flows shows what else VNet logs count twice. Logs without counters and the platform's own flows
-- are left out. A large number of peers is an estimate.
WITH local_flows AS (
    SELECT
        time,
        CASE WHEN direction = 'outbound' THEN src_ip ELSE dst_ip END AS ip,
        CASE WHEN direction = 'outbound' THEN dst_ip ELSE src_ip END AS peer,
        coalesce(CASE WHEN direction = 'outbound' THEN bytes_sent ELSE bytes_received END, 0) AS bytes_out,
        coalesce(CASE WHEN direction = 'outbound' THEN bytes_received ELSE bytes_sent END, 0) AS bytes_in,
        coalesce(packets_sent, 0) + coalesce(packets_received, 0) AS packets
    FROM flows
    WHERE decision = 'allow' AND state IN ('continue', 'end') AND NOT starts_with(rule, 'PlatformRule')
)
SELECT
    ip,
    sum(bytes_out + bytes_in) AS bytes,
    sum(bytes_out) AS bytes_out,
    sum(bytes_in) AS bytes_in,
    sum(packets) AS packets,
    count(*) AS tuples,
    approx_distinct(peer) AS peers,
    min(time) AS first_flow,
    max(time) AS last_flow
FROM local_flows
GROUP BY ip
ORDER BY bytes DESC, ip
LIMIT $limit
