-- id: flow_groups
-- title: What an analysis scans once: like flows in scope, grouped
-- params: $subnets (prefixes that one end of a flow must lie in, with ; between them),
--         $ports (a list of the destination ports to look at; null for all)
-- columns: group_id, direction, vantage, local_ip, peer_local, peer_class, port, src_port, protocol, decision, state, answer,
--          rule, acl, log_kind, peer_is_internet, hours (hour, tuples, first, last), peers (ip, tuples)
-- order: none
--
-- Ports that no requirement names are folded into null where nobody asks for them: of allowed flows, and of what
-- the Internet knocks at. So the number of groups does not follow the number of flows. Peers are kept of denied flows
-- whose port is kept, and of connections that nobody answered.
-- While the scope is not known yet, every interface is local, and peer_local keeps the peers that may be, too.
WITH grouped AS (
    SELECT unnest(flow_groups(
        time, src_ip, dst_ip, src_port, dst_port, protocol, direction, decision, state, packets_sent, packets_received,
        rule, acl, log_kind
    )) AS g
    FROM coded_flows
    WHERE (ip_in(src_ip, $subnets) OR ip_in(dst_ip, $subnets)) AND ($ports IS NULL OR array_has($ports, dst_port))
)
SELECT
    row_number() OVER () AS group_id,
    g['direction'] AS direction,
    g['vantage'] AS vantage,
    g['local_ip'] AS local_ip,
    g['peer_local'] AS peer_local,
    g['peer_class'] AS peer_class,
    g['port'] AS port,
    g['src_port'] AS src_port,
    g['protocol'] AS protocol,
    g['decision'] AS decision,
    g['state'] AS state,
    g['answer'] AS answer,
    g['rule'] AS rule,
    g['acl'] AS acl,
    g['log_kind'] AS log_kind,
    g['peer_is_internet'] AS peer_is_internet,
    g['hours'] AS hours,
    g['peers'] AS peers
FROM grouped
