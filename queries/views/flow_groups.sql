-- id: flow_groups
-- title: What an analysis scans once: like flows in scope, grouped
-- params: $low_port, $high_port (destination ports to look at; 0 and 65535 for all)
-- columns: group_id, direction, vantage, local_ip, peer_local, peer_class, port, src_port, protocol, decision, state, answer,
--          rule, acl, log_kind, peer_is_internet, hours (hour, tuples, first, last), peers (ip, tuples)
-- order: none
--
-- Ports that no requirement names are folded into null where nobody asks for them: of allowed flows, and of what
-- the Internet knocks at. So the number of groups does not follow the number of flows. Peers are kept of denied flows
-- whose port is kept, and of connections that nobody answered.
-- While the scope is not known yet, every interface is local, and peer_local keeps the peers that may be, too.
WITH placed AS (
    SELECT *, endpoints(src_ip, dst_ip, direction) AS ends
    FROM flows
    WHERE dst_port BETWEEN $low_port AND $high_port
),
folded AS (
    SELECT
        ends['direction'] AS direction,
        ends['vantage'] AS vantage,
        ends['local_ips'] AS local_ips,
        ends['peer_ip'] AS peer_ip,
        ends['peer_class'] AS peer_class,
        CASE
            WHEN is_named_port(dst_port) THEN dst_port
            WHEN decision = 'deny' AND NOT (ends['direction'] = 'inbound' AND ends['peer_is_internet']) THEN dst_port
        END AS port,
        CASE WHEN is_named_src_port(src_port) THEN src_port END AS src_port,
        -- Did the other side say anything? Unknown at the beginning, and where the log has no counters.
        CASE
            WHEN packets_received > 0 THEN CASE WHEN packets_sent > 0 THEN 2 ELSE 1 END
            WHEN packets_received = 0 AND packets_sent > 0 THEN 0
        END AS answer,
        protocol, decision, state, rule, acl, log_kind, time
    FROM placed
)
SELECT
    row_number() OVER () AS group_id,
    direction, vantage,
    split_part(local_ips, ' ', 1) AS local_ip,
    nullif(split_part(local_ips, ' ', 2), '') AS peer_local,
    peer_class, port, src_port, protocol, decision, state,
    CASE answer WHEN 2 THEN 'answered' WHEN 1 THEN 'heard' WHEN 0 THEN 'unanswered' END AS answer,
    rule, acl, log_kind,
    substr(peer_class, 1, 1) = 'y' AS peer_is_internet,
    hourly(time) AS hours,
    addresses(peer_ip, 1) FILTER (
        WHERE port IS NOT NULL
            AND (decision = 'deny' OR answer = 0 AND direction = 'outbound' AND protocol = 'TCP' AND log_kind = 'vnet')
    ) AS peers
FROM folded
GROUP BY direction, vantage, local_ips, peer_class, port, src_port, protocol, decision, state, answer, rule, acl, log_kind
-- Asked of a count, so that it is asked of groups and not of every flow.
HAVING count(direction) > 0
