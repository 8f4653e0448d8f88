-- id: rekeyed_flows
-- title: Flows that VNet logs end and restart at the same moment
-- params: $one_in integer = 1: sample one source port in this many, to save memory
--         $limit integer = 100: rows to show
-- columns: time, mac, direction, src_ip, src_port, dst_ip, dst_port, protocol, bytes, later_bytes, bytes_again
-- order: bytes_again descending, time, mac, direction, src_ip, src_port, dst_ip, dst_port, protocol
--
-- A new flow is often logged as begin, end and begin in the same millisecond. Its later tuples then count from the start, so a
-- sum over all tuples counts the bytes of that first end twice. They are in bytes_again if no later counter is smaller. Azure
-- does not document this; it was seen in VNet logs only. Memory grows with the number of tuples: choose a short window.
WITH moments AS (
    SELECT
        time, upper(mac) AS mac, direction, src_ip, src_port, dst_ip, dst_port, protocol,
        bool_or(state = 'begin') AND bool_or(state = 'end') AS is_rekeyed,
        max(packets_sent) AS packets_sent,
        max(bytes_sent) AS bytes_sent,
        max(packets_received) AS packets_received,
        max(bytes_received) AS bytes_received
    FROM flows
    WHERE decision = 'allow' AND encryption IS NOT NULL AND src_port % $one_in = 0
    GROUP BY time, upper(mac), direction, src_ip, src_port, dst_ip, dst_port, protocol
),
followed AS (
    SELECT
        *,
        max(packets_sent) OVER later AS later_packets_sent,
        max(bytes_sent) OVER later AS later_bytes_sent,
        max(packets_received) OVER later AS later_packets_received,
        max(bytes_received) OVER later AS later_bytes_received
    FROM moments
    WINDOW later AS (
        PARTITION BY mac, direction, src_ip, src_port, dst_ip, dst_port, protocol
        ORDER BY time DESC
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )
)
SELECT
    time, mac, direction, src_ip, src_port, dst_ip, dst_port, protocol,
    bytes_sent + bytes_received AS bytes,
    later_bytes_sent + later_bytes_received AS later_bytes,
    CASE
        WHEN later_packets_sent >= packets_sent
            AND later_bytes_sent >= bytes_sent
            AND later_packets_received >= packets_received
            AND later_bytes_received >= bytes_received
        THEN bytes_sent + bytes_received
        ELSE 0
    END AS bytes_again
FROM followed
WHERE is_rekeyed
ORDER BY bytes_again DESC, time, mac, direction, src_ip, src_port, dst_ip, dst_port, protocol
LIMIT $limit
